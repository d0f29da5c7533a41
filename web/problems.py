"""The HTTP status and the sentence of every error, and how it is sent to programs (the pages render it in HTML)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, NotFound, SecurityError

from classifier import errors

log = logging.getLogger(__name__)

STATUS: dict[type[errors.ClassifierError], HTTPStatus] = {
    errors.Misunderstood: HTTPStatus.BAD_REQUEST,
    errors.NoImage: HTTPStatus.BAD_REQUEST,
    errors.ResultNotFound: HTTPStatus.NOT_FOUND,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BrokenImage: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotExplainable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

# Sentences for errors that Flask and Werkzeug raise. On a page, the form is the way out.
PAGE_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "This request cannot be understood; please send photos as files in the field fileImage.",
    HTTPStatus.UNAUTHORIZED: (
        "This site needs its access token; please send it as the password or as Authorization: Bearer."
    ),
    HTTPStatus.FORBIDDEN: "You don't have access to this page. Ask the site's administrator.",
    HTTPStatus.TOO_MANY_REQUESTS: "You have sent more requests than this site allows; please try again in a while.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address; please start from the form below.",
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "This address does not accept that kind of request; please start from the form below."
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "This is more than one request may hold; please send fewer or smaller photos or zip files, as files in the "
        "field fileImage."
    ),
}
# For programs, /openapi.json is the way out.
API_SENTENCES = PAGE_SENTENCES | {
    HTTPStatus.BAD_REQUEST: "This request cannot be understood; /openapi.json describes what each address accepts.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /openapi.json lists every address.",
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "This address does not accept that kind of request; /openapi.json lists which it accepts."
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "This is more than one request may hold; please send fewer or smaller photos.",
}
FROM_ELSEWHERE = "The page of another site sent this request; please use the form on this site's own page."
UNKNOWN_HOST = "This site does not serve that host name; its administrator can add it to CLASSIFIER_TRUSTED_HOSTS."
OTHER_REFUSAL = "This request cannot be answered; please check it and try again."
SERVER_ERROR = "Something went wrong on our side. The error has been logged; please try again."
RETRY_AFTER_S = 2


class SentFromElsewhere(Forbidden):
    """A change that the page of another site asks for."""


class Problem(NamedTuple):
    """An error as clients see it."""

    status: HTTPStatus
    detail: str

    @property
    def title(self) -> str:
        return self.status.phrase

    @property
    def headers(self) -> dict[str, str]:
        """Return Retry-After if a later attempt may succeed."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}

    def as_json(self) -> dict[str, object]:
        """Return the members of an `application/problem+json` document (RFC 9457)."""
        return {"type": "about:blank", "title": self.title, "status": int(self.status), "detail": self.detail}


def problem(error: Exception, sentences: Mapping[HTTPStatus, str] = PAGE_SENTENCES) -> Problem:
    """Return the status and sentence of `error`. An unexpected error is logged, and its sentence gives no details."""
    if isinstance(error, errors.ClassifierError):
        return Problem(STATUS[type(error)], str(error))
    if isinstance(error, SecurityError):
        return Problem(HTTPStatus.BAD_REQUEST, UNKNOWN_HOST)
    if isinstance(error, SentFromElsewhere):
        return Problem(HTTPStatus.FORBIDDEN, FROM_ELSEWHERE)
    status = HTTPStatus(error.code or 500) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("Unexpected error", exc_info=error)
        return Problem(status, SERVER_ERROR)
    return Problem(status, sentences.get(status, OTHER_REFUSAL))


PAGE = "text/html"
CSV = "text/csv"
JSON = ["application/json", "application/json; charset=utf-8", "application/problem+json"]


def prefers_json(request: Request) -> bool:
    """Return whether the client prefers JSON to a page.

    With a plain `*/*`, as curl sends, it does only if it has sent JSON to an address that does not exist.
    """
    offered = [*JSON, PAGE] if request.is_json and request.routing_exception else [PAGE, *JSON]
    return request.accept_mimetypes.best_match(offered, offered[0]) != PAGE


def prefers_csv(request: Request) -> bool:
    """Return whether the client prefers CSV to a page and to JSON."""
    return request.accept_mimetypes.best_match([PAGE, *JSON, CSV], PAGE) == CSV


def problem_json(document: dict[str, object]) -> Response:
    """Return a document as `application/problem+json`."""
    response = jsonify(document)
    response.mimetype = "application/problem+json"
    return response


def set_status(response: Response, found: Problem, error: Exception | None = None) -> None:
    """Set the status and headers of `found`, and the headers that `error` itself carries."""
    response.status_code = found.status
    response.headers.update(found.headers)
    if isinstance(error, HTTPException):  # for example the Allow of a 405
        response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")


def api_error(error: Exception) -> Response:
    """Return any error as `{"error": sentence}` with its status."""
    found = problem(error, API_SENTENCES)
    response = jsonify(error=found.detail)
    set_status(response, found, error)
    return response


def use_api_errors(blueprint: Blueprint, *paths: str) -> None:
    """Send errors of the blueprint's routes, and of unknown addresses at or below `paths`, by `api_error`."""

    def refuse_unknown_address() -> Response | None:
        """Handle routing errors, which Flask would leave to the pages because they belong to no blueprint."""
        error = request.routing_exception
        is_below = any(f"{request.path}/".startswith(f"{path}/") for path in paths)
        return api_error(error) if is_below and isinstance(error, NotFound | MethodNotAllowed) else None

    blueprint.register_error_handler(Exception, api_error)
    blueprint.before_app_request(refuse_unknown_address)
