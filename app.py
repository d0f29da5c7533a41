"""The pages: a photo comes in through the form, the engine answers, a page or JSON goes out."""

from io import BytesIO

from flask import Flask, Response, request, send_file
from flask_bootstrap import Bootstrap5

from classifier.contract import Engine
from classifier.photos.decode import READABLE
from classifier.storage.feedback import Feedback
from classifier.storage.kept import Uploads
from web.api.views import blueprint
from web.compression import compressed
from web.middleware import Drain
from web.ops.access import add_guard
from web.ops.health import Health
from web.ops.metrics import Metrics
from web.ops.observer import ObservedEngine, Observer
from web.pages.answers import Answers
from web.pages.examples import Examples, examples_of
from web.pages.outcome import percent, readable, sentence
from web.pages.rendering import Rendering
from web.pages.results import ResultPages
from web.pages.upload import InMemoryRequest, sent_photos
from web.settings import Settings

SECURITY_HEADERS = {
    # data: is for Bootstrap's small icons and for the preview of a picture that is not kept.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


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

    metrics = Metrics()
    engine = ObservedEngine(engine, metrics)
    Observer(engine, uploads, metrics, settings).add_to(app)
    add_guard(app, settings)
    Health(engine, uploads).add_to(app)
    add_pages(app, engine, settings, uploads)
    app.register_blueprint(blueprint(engine, settings))
    app.extensions["engine"] = engine
    app.after_request(with_common_headers)
    app.after_request(compressed)
    return app


def add_pages(app: Flask, engine: Engine, settings: Settings, uploads: Uploads) -> None:
    """The views, and the handler of every error."""
    examples = examples_of(settings)
    threshold = engine.model.threshold if settings.threshold is None else settings.threshold
    rendering = Rendering(engine.model, settings, examples, threshold)
    answers = Answers(engine.model.name, uploads, threshold)
    pages = Pages(engine, settings, examples, answers, rendering)
    app.add_url_rule("/", view_func=pages.home)
    app.add_url_rule("/", view_func=pages.classify, methods=["POST"])
    app.add_url_rule("/examples/<name>", view_func=pages.example)
    feedback = Feedback(uploads, settings.uploads, settings.keep_mb)
    ResultPages(engine, uploads, feedback, answers, rendering).add_to(app)
    app.register_error_handler(Exception, rendering.failed)


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
        with self._engine.expect():
            photos = sent_photos(request, self._settings.max_files, self._examples)
        answers = self._engine.classify([photo.data for photo in photos])
        return self._rendering.answered(
            [self._answers.result(photo.filename, answer) for photo, answer in zip(photos, answers, strict=True)]
        )

    def example(self, name: str) -> Response:
        return send_file(BytesIO(self._examples.read(name)), download_name=name, max_age=3600)


def with_common_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.vary.add("Accept")
    return response
