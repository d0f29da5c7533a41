"""Interfaces for programs: the Open Inference Protocol v2 and Hugging Face's image-classification task."""

from flask import Blueprint

from classifier.contract import Engine
from web.api.views import ApiViews, HealthChecks
from web.problems import use_api_errors
from web.settings import Settings


def blueprint(engine: Engine, health: HealthChecks, settings: Settings) -> Blueprint:
    """Return the routes for programs, whose errors are `{"error": sentence}`."""
    views, api = ApiViews(engine, health, settings), Blueprint("api", __name__)
    api.add_url_rule("/v2", view_func=views.server)
    api.add_url_rule("/v2/health/live", view_func=views.live)
    api.add_url_rule("/v2/health/ready", view_func=views.ready)
    for model in ("/v2/models/<name>", "/v2/models/<name>/versions/<version>"):
        api.add_url_rule(model, view_func=views.model)
        api.add_url_rule(model + "/ready", view_func=views.model_ready)
        api.add_url_rule(model + "/infer", view_func=views.infer, methods=["POST"])
    api.add_url_rule("/models/<name>", view_func=views.image_classification, methods=["POST"])
    use_api_errors(api, "/v2", "/models")
    return api
