"""For programs."""

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from classifier.contract import Engine
from classifier.errors import ClassifierError
from web.api.views import ApiViews
from web.problems import API_SENTENCES, problem, with_status
from web.settings import Settings


def blueprint(engine: Engine, settings: Settings) -> Blueprint:
    """The routes for programs; their errors, and those of addresses below theirs, are `{"error": sentence}`."""
    views, api = ApiViews(engine, settings), Blueprint("api", __name__)
    api.add_url_rule("/openapi.json", view_func=views.openapi)
    api.add_url_rule("/v2", view_func=views.server)
    api.add_url_rule("/v2/health/live", view_func=views.live)
    api.add_url_rule("/v2/health/ready", view_func=views.ready)
    for model in ("/v2/models/<name>", "/v2/models/<name>/versions/<version>"):
        api.add_url_rule(model, view_func=views.model)
        api.add_url_rule(model + "/ready", view_func=views.model_ready)
        api.add_url_rule(model + "/infer", view_func=views.infer, methods=["POST"])
    api.add_url_rule("/models/<name>", view_func=views.image_classification, methods=["POST"])
    api.register_error_handler(Exception, failed)
    api.before_app_request(nowhere)
    return api


def failed(error: Exception) -> Response:
    """Any error at all, as `{"error": sentence}`, with the status that it has everywhere on the site."""
    told = problem(error)
    is_ours = isinstance(error, ClassifierError)
    response = jsonify(error=told.detail if is_ours else API_SENTENCES.get(told.status, told.detail))
    with_status(response, told, error)
    return response


def nowhere() -> Response | None:
    """What is below our addresses and yet nowhere, or not for this method, which Flask would leave to the pages."""
    error = request.routing_exception
    ours = request.path == "/openapi.json" or request.path.partition("/")[2].partition("/")[0] in ("v2", "models")
    return failed(error) if ours and isinstance(error, NotFound | MethodNotAllowed) else None
