"""Interfaces for programs: the Open Inference Protocol v2, TensorFlow Serving's and Hugging Face's."""

from flask import Blueprint
from werkzeug.routing import BaseConverter

from classifier.contract import Engine
from web.api.views import ApiViews, HealthChecks
from web.problems import use_api_errors
from web.settings import Settings


class SegmentConverter(BaseConverter):
    """A part of an address that ends before a colon, as in `/v1/models/<segment:name>:predict`."""

    regex = "[^/:]+"


def blueprint(engine: Engine, health: HealthChecks, settings: Settings) -> Blueprint:
    """Return the routes for programs, whose errors are `{"error": sentence}`."""
    views, api = ApiViews(engine, health, settings), Blueprint("api", __name__)
    api.record(lambda setup: setup.app.url_map.converters.update(segment=SegmentConverter))
    api.add_url_rule("/v2", view_func=views.server)
    api.add_url_rule("/v2/health/live", view_func=views.live)
    api.add_url_rule("/v2/health/ready", view_func=views.ready)
    for model in ("/v2/models/<name>", "/v2/models/<name>/versions/<version>"):
        api.add_url_rule(model, view_func=views.model)
        api.add_url_rule(model + "/ready", view_func=views.model_ready)
        api.add_url_rule(model + "/infer", view_func=views.infer, methods=["POST"])
    for model in ("/v1/models/<segment:name>", "/v1/models/<segment:name>/versions/<segment:version>"):
        api.add_url_rule(model, view_func=views.model_status)
        api.add_url_rule(model + ":predict", view_func=views.predict, methods=["POST"])
    api.add_url_rule("/models/<name>", view_func=views.image_classification, methods=["POST"])
    use_api_errors(api, "/v1", "/v2", "/models")
    return api
