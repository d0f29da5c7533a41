"""Logging and counting of every request, and of every photo that the engine answers."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import numpy as np
from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST

from classifier.contract import Answer, Engine, Explanation, ModelInfo
from classifier.errors import ClassifierError
from classifier.storage.kept import KeptResults
from web.marks import operators_only
from web.ops.metrics import Metrics
from web.settings import Settings

REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
MAX_LOGGED = 64  # photos of a request
UNKNOWN = "unknown"  # the route of an address without a view

log = logging.getLogger("site.request")


@dataclass
class Answered:
    """The photos of a request: how many were answered until when, and the log's entries of the first `MAX_LOGGED`."""

    photos: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    at: float = 0.0

    def note(self, answers: Sequence[Answer | ClassifierError]) -> None:
        self.photos += [photo_line(answer) for answer in answers[: MAX_LOGGED - len(self.photos)]]
        self.count += len(answers)
        self.at = time.monotonic()


class ObservedEngine:
    """An engine whose answers and refusals are recorded with the current request.

    A request has one engine from its first question to its end, whatever takes over meanwhile.
    """

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self.fallback = engine.fallback
        self.is_alive = engine.is_alive
        self.waiting = engine.waiting
        self.held = engine.held
        self.close = engine.close

    @property
    def model(self) -> ModelInfo:
        return self._of_request().model

    def admit(self) -> AbstractContextManager[None]:
        return self._of_request().admit()

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        return self._recorded(self._of_request().classify(files, top))

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        return self._recorded(self._of_request().classify_pixels(pixels, top))

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        return self._of_request().explain(read, index)

    def _of_request(self) -> Engine:
        """Return the engine that the current request holds."""
        if "engine" not in g:
            g.holds = ExitStack()
            g.engine = g.holds.enter_context(self._engine.held())
        return cast(Engine, g.engine)

    def _recorded(self, answers: list[Answer | ClassifierError]) -> list[Answer | ClassifierError]:
        for answer in answers:
            if isinstance(answer, Answer):
                self._metrics.count_answer(answer)
            else:
                self._metrics.count_refusal(type(answer).__name__)
        g.setdefault("answered", Answered()).note(answers)
        return answers


class RequestLog:
    """Handlers that run before and after each request of an app, and the view of the metrics."""

    def __init__(self, engine: Engine, uploads: KeptResults, metrics: Metrics, settings: Settings) -> None:
        self._engine = engine
        self._uploads = uploads
        self._metrics = metrics
        self._trusts_ids = settings.proxies > 0
        self._names = bool(settings.log_names)

    def add_to(self, app: Flask) -> None:
        app.teardown_appcontext(release_engine)
        app.before_request(self.begin)
        app.after_request(self.end)
        app.add_url_rule("/metrics", view_func=self.metrics)

    def begin(self) -> None:
        sent = request.headers.get("X-Request-ID", "") if self._trusts_ids else ""
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)
        g.began_at = time.monotonic()

    def end(self, response: Response) -> Response:
        if "request_id" not in g:  # refused before `begin`, for an untrusted host name
            self.begin()
        response.headers["X-Request-ID"] = g.request_id
        finish = partial(self._finish, response, self._line(response), g.setdefault("answered", Answered()), g.began_at)
        if is_still_coming(response):
            response.call_on_close(finish)  # when the last photo has been answered, and the request is long over
            response.call_on_close(g.pop("holds", ExitStack()).close)
        else:
            finish()
        return response

    @operators_only
    def metrics(self) -> Response:
        results, size = self._uploads.usage()
        self._metrics.kept.set(results)
        self._metrics.kept_bytes.set(size)
        return Response(self._metrics.text(), content_type=CONTENT_TYPE_LATEST)

    def _finish(self, response: Response, line: dict[str, Any], answered: Answered, began_at: float) -> None:
        now = time.monotonic()
        self._count(response, line, answered, now - began_at)
        photos = {"photos": answered.photos} if answered.count else {}
        count = {"photo_count": answered.count} if answered.count > MAX_LOGGED else {}
        log.info("request", extra={"fields": line | {"seconds": round(now - began_at, 4)} | photos | count})

    def _count(self, response: Response, line: dict[str, Any], answered: Answered, seconds: float) -> None:
        metrics, now = self._metrics, time.monotonic()
        metrics.requests.labels(line["route"], line["method"], response.status_code).inc()
        metrics.seconds.labels(line["route"]).observe(seconds)
        metrics.waiting.set(self._engine.waiting())
        metrics.note_memory(now)
        if answered.count:
            metrics.stages.labels("render").observe(now - answered.at)
        elif response.status_code >= HTTPStatus.BAD_REQUEST:
            metrics.count_refusal(HTTPStatus(response.status_code))

    def _line(self, response: Response) -> dict[str, Any]:
        line = {
            "request_id": g.request_id,
            "client": request.remote_addr,
            "method": method(),
            "route": route(),
            "status": response.status_code,
            "bytes": response.content_length,
        }
        has_photos = "answered" in g or is_still_coming(response)
        names = [file.filename for file in request.files.values()] if self._names and has_photos else []
        return line | ({"names": names} if names else {})


def release_engine(_: BaseException | None) -> None:
    """End the hold of a request that is over."""
    if "holds" in g:
        g.holds.close()


def is_still_coming(response: Response) -> bool:
    """Return whether photos are answered while the response is sent."""
    return response.is_streamed and not response.direct_passthrough  # which files have


def photo_line(answer: Answer | ClassifierError) -> dict[str, Any]:
    """Return a photo's log entry: the seconds of each stage, or the error's class."""
    if isinstance(answer, ClassifierError):
        return {"error": type(answer).__name__}
    if not answer.stages:
        return {}
    return {name: round(value, 4) for name, value in vars(answer.stages).items()}


def route() -> str:
    """Return the pattern that the address matched rather than the address, because ids are private."""
    return request.url_rule.rule if request.url_rule else UNKNOWN


def method() -> str:
    """Return the request's method if it is a standard one, so that clients cannot invent metric labels."""
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else UNKNOWN
