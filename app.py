"""The pages: a photo comes in through the form, the engine answers, a page or JSON goes out."""

from flask import Flask
from flask_bootstrap import Bootstrap5

from classifier.contract import Engine
from classifier.photos.decode import READABLE
from classifier.storage.kept import KeptResults
from web.api import blueprint
from web.middleware import DrainUploads, InMemoryRequest, compressed, with_common_headers
from web.ops.access import add_access_control
from web.ops.health import Health
from web.ops.metrics import Metrics
from web.ops.observer import ObservedEngine, RequestLog
from web.pages import add_pages
from web.pages.wording import percent, readable, sentence
from web.settings import Settings


def create_app(engine: Engine, settings: Settings, uploads: KeptResults) -> Flask:
    """The site around an engine and a place to keep what it answered."""
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    app.config.update(MAX_CONTENT_LENGTH=settings.max_upload_mb * 2**20, BOOTSTRAP_SERVE_LOCAL=True)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.globals["readable_formats"] = READABLE
    app.jinja_env.filters.update(percent=percent, readable=readable, sentence=sentence)
    app.wsgi_app = DrainUploads(app.wsgi_app)  # type: ignore[method-assign]
    Bootstrap5(app)

    metrics = Metrics()
    engine = ObservedEngine(engine, metrics)
    RequestLog(engine, uploads, metrics, settings).add_to(app)
    add_access_control(app, settings)
    Health(engine, uploads).add_to(app)
    add_pages(app, engine, settings, uploads)
    app.register_blueprint(blueprint(engine, settings))
    app.extensions["engine"] = engine
    app.after_request(with_common_headers)
    app.after_request(compressed)
    return app
