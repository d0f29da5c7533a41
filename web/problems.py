"""Which HTTP status and sentence each error gets, as RFC 9457 JSON or on the page. All of it, only here."""

import logging
from http import HTTPStatus
from typing import NamedTuple

from flask import Request, Response, jsonify
from werkzeug.exceptions import HTTPException, SecurityError

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

# What Flask and Werkzeug refuse by themselves, in our words.
SENTENCES = {
    HTTPStatus.BAD_REQUEST: "This request cannot be understood; please send photos as files in the field fileImage.",
    HTTPStatus.UNAUTHORIZED: "This site wants its token; please send it as the password, or as Authorization: Bearer.",
    HTTPStatus.FORBIDDEN: "This address is not for everybody; whoever runs the site can open it.",
    HTTPStatus.TOO_MANY_REQUESTS: "You have asked more often than this site allows; please try again in a while.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address; the form below is the way in.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that kind of request; the form below is the way in.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "This is more than one request may hold; please send fewer or smaller photos, as files in the field fileImage."
    ),
}
UNKNOWN_HOST = "This site does not answer to that host name; whoever runs it can add it to CLASSIFIER_TRUSTED_HOSTS."
RETRY_AFTER_S = 2
OTHERWISE = "This request cannot be answered; please try again from the form below."
OUR_FAULT = "Something went wrong on our side and was noted; please try again."


class Problem(NamedTuple):
    """An error as the outside sees it."""

    status: HTTPStatus
    detail: str

    @property
    def title(self) -> str:
        return self.status.phrase

    @property
    def headers(self) -> dict[str, str]:
        """When to try again, where that may help."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}

    def as_json(self) -> dict[str, object]:
        """The members of an `application/problem+json` document (RFC 9457)."""
        return {"type": "about:blank", "title": self.title, "status": int(self.status), "detail": self.detail}


def problem(error: Exception) -> Problem:
    """What to tell of `error`. What only we can mend is logged with its trace and told in general words."""
    if isinstance(error, errors.ClassifierError):
        return Problem(STATUS[type(error)], str(error))
    if isinstance(error, SecurityError):
        return Problem(HTTPStatus.BAD_REQUEST, UNKNOWN_HOST)
    status = HTTPStatus(error.code or 500) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("Unexpected error", exc_info=error)
        return Problem(status, OUR_FAULT)
    return Problem(status, SENTENCES.get(status, OTHERWISE))


def wants_json(request: Request) -> bool:
    """Whether the client prefers JSON to a page; a plain `*/*`, as curl sends, does not."""
    offered = ["text/html", "application/json", "application/json; charset=utf-8", "application/problem+json"]
    return request.accept_mimetypes.best_match(offered, "text/html") != "text/html"


def problem_json(document: dict[str, object]) -> Response:
    response = jsonify(document)
    response.mimetype = "application/problem+json"
    return response


def with_status(response: Response, told: Problem, error: Exception | None = None) -> None:
    """The status of a problem and the headers that go with it, and with the `error` that it was."""
    response.status_code = told.status
    response.headers.update(told.headers)
    if isinstance(error, HTTPException):  # such as the Allow of a 405
        response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")


# What Flask and Werkzeug refuse by themselves; elsewhere on the site the form is the way out.
API_SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /openapi.json lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that kind of request; /openapi.json lists what does.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "This is more than one request may hold; please send fewer or smaller photos.",
}
