"""The whole site on one screen: `create_app` adds each of its parts."""

from flask import Flask

from classifier.contract import Engine
from classifier.storage.kept import KeptResults
from web import api, openapi
from web.middleware import add_middleware
from web.ops.access import add_access_control
from web.ops.health import Health
from web.ops.metrics import Metrics
from web.ops.observer import ObservedEngine, RequestLog
from web.pages import add_pages
from web.settings import Settings


def create_app(engine: Engine, settings: Settings, uploads: KeptResults) -> Flask:
    """Return the site that answers with `engine` and keeps its results in `uploads`."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    metrics = Metrics()
    engine = ObservedEngine(engine, metrics)
    health = Health(engine, uploads)
    app.extensions["engine"] = engine

    RequestLog(engine, uploads, metrics, settings).add_to(app)  # first, so that it sees every response last
    add_middleware(app, settings.max_upload_mb)
    add_access_control(app, settings)
    health.add_to(app)
    add_pages(app, engine, uploads, settings, on_feedback=metrics.count_feedback)
    app.register_blueprint(api.blueprint(engine, health, settings))
    app.register_blueprint(openapi.blueprint(engine, settings))
    return app
