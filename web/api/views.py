"""The views for programs: the Open Inference Protocol v2, TensorFlow Serving's REST API and Hugging Face's task.

They keep nothing of what they receive.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from flask import Response, jsonify, request

from classifier.contract import Answer, Engine, Prediction
from classifier.errors import ClassifierError, ResultNotFound, Unavailable, UnsupportedImage
from web import RELEASE, TITLE
from web.api import hugging_face, open_inference, tensorflow_serving
from web.api.open_inference import HEADER_LENGTH, VERSION, Inference
from web.api.tensorflow_serving import Predict
from web.marks import public
from web.settings import Settings


class HealthChecks(Protocol):
    """The checks behind the protocol's health routes. Both raise Unavailable."""

    def check_alive(self) -> None: ...

    def check_ready(self) -> None: ...


class ApiViews:
    """Each view makes the cheap checks, reads the body, calls the engine, and responds in its protocol."""

    def __init__(self, engine: Engine, health: HealthChecks, settings: Settings) -> None:
        self._engine = engine
        self._health = health
        self._settings = settings
        self._parsing = threading.Lock()

    def server(self) -> Response:
        return jsonify(name=TITLE, version=RELEASE, extensions=["binary_tensor_data"])

    @public
    def live(self) -> Response:
        self._health.check_alive()
        return jsonify(live=True)

    @public
    def ready(self) -> Response:
        self._health.check_ready()
        return jsonify(live=True, ready=True)

    def model(self, name: str, version: str = VERSION) -> Response:
        self._check(name, version)
        return jsonify(open_inference.metadata(self._engine.model.name, self._engine.model.size))

    def model_ready(self, name: str, version: str = VERSION) -> Response:
        self._check(name, version)
        self._health.check_ready()
        return jsonify(name=name, ready=True)

    def infer(self, name: str, version: str = VERSION) -> Response:
        """Classify the images or pixels of an Open Inference Protocol request."""
        self._check(name, version)
        inference = self._inference()
        if inference.pixels is None:
            answers = self._engine.classify(inference.images, inference.top)
        else:
            answers = self._engine.classify_pixels(list(inference.pixels), inference.top)
        sure_from = self._engine.model.sure_from(self._settings.threshold)
        content, headers = open_inference.response_body(name, inference, all_answered(answers), sure_from)
        return Response(content, headers=headers)

    def model_status(self, name: str, version: str = VERSION) -> Response:
        self._check(name, version)
        self._health.check_alive()
        return jsonify(tensorflow_serving.status(VERSION))

    def predict(self, name: str, version: str = VERSION) -> Response:
        """Classify the images of a TensorFlow Serving request."""
        self._check(name, version)
        asked = self._predict()
        answers = self._engine.classify(asked.images, top=len(self._engine.model.labels))
        return jsonify(tensorflow_serving.response(asked.member, ranked(answers)))

    def image_classification(self, name: str) -> Response:
        """Classify an image for Hugging Face's task: a plain body, or JSON with parameters."""
        self._check(name)
        image, top = self._image()
        (predictions,) = ranked(self._engine.classify([image], top))
        return jsonify(hugging_face.response(predictions))

    def _check(self, name: str, version: str = VERSION) -> None:
        present = self._engine.model.name
        if name != present:
            raise ResultNotFound(f"There is no model of this name here; this site's model is {present}.")
        if version != VERSION:
            raise ResultNotFound(f"There is no such version of {name}; its version is {VERSION}.")

    def _inference(self) -> Inference:
        body, json_length = self._body(), request.headers.get(HEADER_LENGTH)
        with self._turn_to_parse():
            return open_inference.read(body, json_length, self._engine.model.size, self._settings.max_files)

    def _predict(self) -> Predict:
        body = self._body()
        with self._turn_to_parse():
            return tensorflow_serving.read(body, self._settings.max_files)

    def _image(self) -> tuple[bytes, int | None]:
        """Return the image and the number of classes to list."""
        body = self._body()
        if not request.is_json:
            return body, None
        with self._turn_to_parse():
            return hugging_face.read(body)

    def _body(self) -> bytes:
        """Return the whole body. Raises an error before reading it if it would be refused anyway."""
        with self._engine.admit():
            if request.content_encoding not in (None, "", "identity"):
                raise UnsupportedImage("Compressed requests are not read here; photos are compressed already.")
            body = request.get_data(cache=False, parse_form_data=False)
        request.stream.read(1)  # raises if a body of unknown length exceeds the limit
        return body

    @contextmanager
    def _turn_to_parse(self) -> Iterator[None]:
        """Parse one body at a time, because JSON takes ten times its size in memory. Raises Unavailable."""
        if not self._parsing.acquire(timeout=self._settings.timeout_s):
            raise Unavailable("More requests are waiting than can be answered in time; please try again shortly.")
        try:
            yield
        finally:
            self._parsing.release()


def ranked(answers: Sequence[Answer | ClassifierError]) -> list[tuple[Prediction, ...]]:
    """Return the ranked classes of every image, or raise the first error."""
    return [answer.predictions for answer in all_answered(answers)]


def all_answered(answers: Sequence[Answer | ClassifierError]) -> list[Answer]:
    """Return the answers of all images, or raise the first error: these protocols answer all or nothing."""
    for number, answer in enumerate(answers, 1):
        if isinstance(answer, ClassifierError):
            which = f"Image {number} of {len(answers)}: " if len(answers) > 1 else ""
            raise type(answer)(f"{which}{answer}") from answer
    return [answer for answer in answers if isinstance(answer, Answer)]
