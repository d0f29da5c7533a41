"""The pages: a photo comes in through the form, the engine answers, a page or JSON goes out."""

import base64
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

from flask import Flask, Response, jsonify, make_response, render_template, request, url_for
from flask_bootstrap import Bootstrap5
from werkzeug.exceptions import HTTPException

from classifier.engine import Answer, Network, Prediction
from classifier.errors import ClassifierError, Unavailable
from classifier.images import READABLE
from classifier.uploads import Uploads
from drain import Drain
from forms import InMemoryRequest, sent_photos
from problems import Problem, problem, wants_json
from results import Result, percent, readable, sentence
from settings import Settings

log = logging.getLogger(__name__)

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

    def classify(self, files: Sequence[bytes]) -> list[Answer | ClassifierError]: ...

    def check_room(self) -> None: ...

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

    pages = Pages(engine, settings, uploads)
    app.add_url_rule("/", view_func=pages.home)
    app.add_url_rule("/", view_func=pages.classify, methods=["POST"])
    app.add_url_rule("/results/<id>", view_func=pages.result)
    app.add_url_rule("/results/<id>", view_func=pages.delete, methods=["DELETE"])
    app.add_url_rule("/results/<id>/delete", view_func=pages.delete_by_form, methods=["POST"])
    app.add_url_rule("/results/<id>/image", view_func=pages.image)
    app.add_url_rule("/healthz", view_func=pages.healthy)
    app.add_url_rule("/readyz", view_func=pages.ready)
    app.extensions["engine"] = engine
    app.register_error_handler(Exception, pages.failed)
    app.after_request(with_common_headers)
    return app


class Pages:
    """The views. Each reads the request, asks the engine or the uploads, and renders."""

    def __init__(self, engine: Engine, settings: Settings, uploads: Uploads) -> None:
        self._engine = engine
        self._settings = settings
        self._uploads = uploads

    def home(self) -> Response:
        return self._page()

    def classify(self) -> Response:
        self._engine.check_room()  # before the upload is read: refusing has to be cheap
        photos = sent_photos(request, self._settings.max_files)
        answers = self._engine.classify([photo.data for photo in photos])
        return self._answered(
            [self._result(photo.filename, answer) for photo, answer in zip(photos, answers, strict=True)]
        )

    def result(self, id: str) -> Response:
        kept = self._uploads.answer(id)
        predictions = tuple(Prediction(**prediction) for prediction in kept["predictions"])
        return self._answered([located(Result(predictions=predictions), id)], kept["model"])

    def image(self, id: str) -> Response:
        response = make_response(self._uploads.picture(id))
        response.mimetype = "image/jpeg"
        response.cache_control.no_store = True
        return response

    def delete(self, id: str) -> Response:
        self._uploads.delete(id)
        return Response(status=204)

    def delete_by_form(self, id: str) -> Response:
        """Plain HTML forms cannot send DELETE."""
        self._uploads.delete(id)
        return self._page(notice="The photo and its answer were deleted.")

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

    def failed(self, error: Exception) -> Response:
        """Any error at all, as a problem document or on the page with its sentence and the form."""
        told = problem(error)
        response = problem_json(told.as_json()) if wants_json(request) else self._page([Result(error=told)])
        with_status(response, told)
        if isinstance(error, HTTPException):  # such as the Allow of a 405
            response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")
        return response

    def _result(self, filename: str, answer: Answer | ClassifierError) -> Result:
        if isinstance(answer, ClassifierError):
            return Result(filename=filename, error=problem(answer))
        return self._kept(Result(filename=filename, predictions=answer.predictions), answer.preview)

    def _kept(self, result: Result, preview: bytes) -> Result:
        """Keep a result if that is wanted and works; its picture can be seen either way."""
        if not self._uploads.enabled:
            return embedded(result, preview)
        predictions = [asdict(prediction) for prediction in result.predictions]
        try:
            id = self._uploads.keep(preview, {"model": self._engine.model.name, "predictions": predictions})
        except OSError:
            log.exception("A result could not be kept.")
            notice = "This answer could not be kept, so it has no address of its own."
            return replace(embedded(result, preview), notice=notice)
        return located(result, id)

    def _answered(self, results: Sequence[Result], model: str | None = None) -> Response:
        """200 when at least one photo was answered, else the status of the first error."""
        errors = [result.error for result in results if result.error]
        failed = errors[0] if len(errors) == len(results) else None
        document = {"model": model or self._engine.model.name, "results": [result.as_json() for result in results]}
        if not wants_json(request):
            response = self._page(results)
        elif failed:
            response = problem_json(failed.as_json() | document)
        else:
            response = jsonify(document)
        if failed:
            with_status(response, failed)
        response.cache_control.no_store = True
        return response

    def _page(self, results: Sequence[Result] = (), notice: str | None = None) -> Response:
        context = {"model": self._engine.model, "settings": self._settings, "results": results, "notice": notice}
        return make_response(render_template("index.html", **context))


def located(result: Result, id: str) -> Result:
    """The result with the addresses under which it is kept."""
    return replace(result, id=id, url=url_for("result", id=id), picture=url_for("image", id=id))


def embedded(result: Result, preview: bytes) -> Result:
    """The result with its picture in the page itself."""
    return replace(result, picture="data:image/jpeg;base64," + base64.b64encode(preview).decode())


def problem_json(document: dict[str, object]) -> Response:
    response = jsonify(document)
    response.mimetype = "application/problem+json"
    return response


def with_status(response: Response, told: Problem) -> None:
    response.status_code = told.status
    response.headers.update(told.headers)


def with_common_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.vary.add("Accept")
    return response
