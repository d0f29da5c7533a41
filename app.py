"""The pages: a photo comes in through the form, the engine answers, a page or JSON goes out."""

from collections.abc import Sequence
from io import BytesIO
from typing import Protocol

import numpy as np
from flask import Flask, Response, jsonify, request, send_file
from flask_bootstrap import Bootstrap5

from answers import Answers
from classifier.contract import Answer, Explanation, Network
from classifier.errors import ClassifierError, Unavailable
from classifier.feedback import Feedback
from classifier.images import READABLE
from classifier.uploads import Uploads
from compression import compressed
from drain import Drain
from examples import Examples, examples_of
from forms import InMemoryRequest, sent_photos
from rendering import Rendering
from result_pages import ResultPages
from results import percent, readable, sentence
from settings import Settings

SECURITY_HEADERS = {
    # data: is for Bootstrap's small icons and for the preview of a picture that is not kept.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Engine(Protocol):
    """What the pages need of an engine; `classifier.engine.Engine` is the real one."""

    model: Network

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]: ...

    def classify_pixels(
        self, pixels: Sequence[np.ndarray], top: int | None = None
    ) -> list[Answer | ClassifierError]: ...

    def explain(self, file: bytes, index: int) -> Explanation: ...

    def check_room(self) -> None: ...

    def waiting(self) -> int: ...

    def is_alive(self) -> bool: ...


def create_app(engine: Engine, settings: Settings, uploads: Uploads) -> Flask:
    """The site around an engine and a place to keep what it answered."""
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    app.config.update(MAX_CONTENT_LENGTH=settings.max_upload_mb * 2**20, BOOTSTRAP_SERVE_LOCAL=True)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.globals["readable_formats"] = READABLE
    app.jinja_env.filters.update(percent=percent, readable=readable, sentence=sentence)
    app.wsgi_app = Drain(app.wsgi_app)  # type: ignore[method-assign]
    Bootstrap5(app)

    examples = examples_of(settings)
    threshold = engine.model.threshold if settings.threshold is None else settings.threshold
    rendering = Rendering(engine.model, settings, examples, threshold)
    answers = Answers(engine.model.name, uploads, threshold)
    pages = Pages(engine, settings, examples, answers, rendering)
    app.add_url_rule("/", view_func=pages.home)
    app.add_url_rule("/", view_func=pages.classify, methods=["POST"])
    app.add_url_rule("/examples/<name>", view_func=pages.example)
    app.add_url_rule("/healthz", view_func=pages.healthy)
    app.add_url_rule("/readyz", view_func=pages.ready)
    feedback = Feedback(uploads, settings.uploads, settings.keep_mb)
    ResultPages(engine, uploads, feedback, answers, rendering).add_to(app)
    app.extensions["engine"] = engine
    app.register_error_handler(Exception, rendering.failed)
    app.after_request(with_common_headers)
    app.after_request(compressed)
    return app


class Pages:
    """The views. Each reads the request, asks the engine, and renders."""

    def __init__(
        self, engine: Engine, settings: Settings, examples: Examples, answers: Answers, rendering: Rendering
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._examples = examples
        self._answers = answers
        self._rendering = rendering

    def home(self) -> Response:
        return self._rendering.page()

    def classify(self) -> Response:
        self._engine.check_room()  # before the upload is read: refusing has to be cheap
        photos = sent_photos(request, self._settings.max_files, self._examples)
        answers = self._engine.classify([photo.data for photo in photos])
        return self._rendering.answered(
            [self._answers.result(photo.filename, answer) for photo, answer in zip(photos, answers, strict=True)]
        )

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples.read(name)), download_name=name, max_age=3600)

    def healthy(self) -> Response:
        """Alive: the model comes back. Not so means that this process should be replaced."""
        if not self._engine.is_alive():
            raise Unavailable("The model does not come back; this process has to be replaced.")
        return jsonify(status="alive")

    def ready(self) -> Response:
        """Ready for work; the model is warm before the first request is taken."""
        self.healthy()
        self._engine.check_room()
        model = self._engine.model
        return jsonify(status="ready", model=model.name, device=model.device, precision=model.precision)


def with_common_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.vary.add("Accept")
    return response
