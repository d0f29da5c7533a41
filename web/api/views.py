"""The site for programs: the Open Inference Protocol v2, Hugging Face's image-classification task, /openapi.json.

Nothing that comes in here is kept.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import Response, current_app, jsonify, request

from classifier.contract import Answer, Engine, Prediction
from classifier.errors import ClassifierError, Misunderstood, ResultNotFound, Unavailable, UnsupportedImage
from web import openapi
from web.api import open_inference
from web.api.json_input import member, needed, positive, read_object
from web.api.open_inference import HEADER_LENGTH, VERSION, InferenceRequest, from_base64
from web.settings import Settings


class ApiViews:
    """Each checks what is cheap to check, reads the body, asks the engine, and answers in the dialect."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._model = engine.model
        self._settings = settings
        self._reading = threading.Lock()

    def openapi(self) -> Response:
        """This site's description, for people and their tools."""
        return jsonify(openapi.document(self._model, self._settings, request.script_root))

    def server(self) -> Response:
        return jsonify(name=openapi.TITLE, version=openapi.RELEASE, extensions=["binary_tensor_data"])

    def live(self) -> Response:
        current_app.extensions["health"].healthy()
        return jsonify(live=True)

    def ready(self) -> Response:
        current_app.extensions["health"].ready()
        return jsonify(live=True, ready=True)

    def model(self, name: str, version: str = VERSION) -> Response:
        self._check(name, version)
        return jsonify(open_inference.metadata(self._model.name, self._model.size))

    def model_ready(self, name: str, version: str = VERSION) -> Response:
        self._check(name, version)
        self.ready()
        return jsonify(name=name, ready=True)

    def infer(self, name: str, version: str = VERSION) -> Response:
        """The Open Inference Protocol's way to ask: images or pixels, several at once."""
        self._check(name, version)
        asked = self._asked()
        if asked.pixels is None:
            answers = self._engine.classify(asked.images, asked.top)
        else:
            answers = self._engine.classify_pixels(list(asked.pixels), asked.top)
        content, headers = open_inference.answer(name, asked, all_ranked(answers))
        return Response(content, headers=headers)

    def image_classification(self, name: str) -> Response:
        """Hugging Face's way to ask: an image as it is, or in JSON when there are parameters, too."""
        self._check(name)
        image, top = self._image()
        (ranked,) = all_ranked(self._engine.classify([image], top))
        return jsonify([{"label": prediction.label, "score": prediction.score} for prediction in ranked])

    def _check(self, name: str, version: str = VERSION) -> None:
        if name != self._model.name:
            raise ResultNotFound(f"There is no model of this name here; this site's is {self._model.name}.")
        if version != VERSION:
            raise ResultNotFound(f"There is no such version of {name}; its version is {VERSION}.")

    def _asked(self) -> InferenceRequest:
        body, json_length = self._body(), request.headers.get(HEADER_LENGTH)
        with self._turn():
            return open_inference.read(body, json_length, self._model.size, self._settings.max_files)

    def _image(self) -> tuple[bytes, int | None]:
        """The image, and how many classes to list."""
        body = self._body()
        if not request.is_json:
            return body, None
        with self._turn():
            return task_input(body)

    def _body(self) -> bytes:
        """All of it, unless it would be read in vain."""
        with self._engine.admit():
            if request.content_encoding not in (None, "", "identity"):
                raise UnsupportedImage("Compressed requests are not read here; photos are compressed already.")
            body = request.get_data(cache=False, parse_form_data=False)
        request.stream.read(1)  # raises where a body of unknown length went on beyond what may be read
        return body

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Bodies are taken apart one at a time, as JSON takes ten times its size in memory. Raises Unavailable."""
        if not self._reading.acquire(timeout=self._settings.timeout_s):
            raise Unavailable("More is waiting than can be answered in time; please try again shortly.")
        try:
            yield
        finally:
            self._reading.release()


def task_input(body: bytes) -> tuple[bytes, int | None]:
    """The image and how many classes to list, of `{"inputs": base64, "parameters": {...}}`. Raises Misunderstood."""
    document = read_object(body, max_values=1000)
    parameters = member(document, "parameters", dict) or {}
    if member(parameters, "function_to_apply", str) not in (None, "softmax"):
        raise Misunderstood('Scores here are probabilities: "function_to_apply" can only be "softmax".')
    return from_base64(needed(document, "inputs", str)), positive(parameters, "top_k")


def all_ranked(answers: Sequence[Answer | ClassifierError]) -> list[tuple[Prediction, ...]]:
    """The ranked classes of every image. Raises the first error there is: these dialects answer all or nothing."""
    for number, answer in enumerate(answers, 1):
        if isinstance(answer, ClassifierError):
            which = f"Image {number} of {len(answers)}: " if len(answers) > 1 else ""
            raise type(answer)(f"{which}{answer}") from answer
    return [answer.predictions for answer in answers if isinstance(answer, Answer)]
