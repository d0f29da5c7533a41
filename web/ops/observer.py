"""Watches requests and photos pass: every request becomes a line in the log and counts in the metrics."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST

from classifier.contract import Answer, Engine, Explanation
from classifier.errors import ClassifierError
from classifier.storage.kept import KeptResults
from web.ops.metrics import Metrics
from web.settings import Settings

REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
UNKNOWN = "unknown"  # the route of an address that leads nowhere

log = logging.getLogger("site.request")


class ObservedEngine:
    """An engine whose answers and refusals are noted for the request that they belong to."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self.model = engine.model
        self.admit = engine.admit
        self.is_alive = engine.is_alive
        self.waiting = engine.waiting
        self.close = engine.close

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        return self._noted(self._engine.classify(files, top))

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        return self._noted(self._engine.classify_pixels(pixels, top))

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        return self._engine.explain(read, index)

    def _noted(self, answers: list[Answer | ClassifierError]) -> list[Answer | ClassifierError]:
        for answer in answers:
            if isinstance(answer, Answer):
                self._metrics.answered(answer)
            else:
                self._metrics.refused(type(answer).__name__)
        g.answers, g.answered_at = answers, time.monotonic()
        return answers


class RequestLog:
    """Before and after each request of an app."""

    def __init__(self, engine: Engine, uploads: KeptResults, metrics: Metrics, settings: Settings) -> None:
        self._engine = engine
        self._uploads = uploads
        self._metrics = metrics
        self._trusts_ids = settings.proxies > 0
        self._names = bool(settings.log_names)

    def add_to(self, app: Flask) -> None:
        app.before_request(self.begin)
        app.after_request(self.end)
        app.add_url_rule("/metrics", view_func=self.metrics)

    def begin(self) -> None:
        sent = request.headers.get("X-Request-ID", "") if self._trusts_ids else ""
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)
        g.began_at = time.monotonic()

    def end(self, response: Response) -> Response:
        if "request_id" not in g:  # refused before `begin`: the host name is not ours
            self.begin()
        now = time.monotonic()
        self._count(response, now - g.began_at, now)
        log.info("request", extra={"fields": self._line(response, now - g.began_at)})
        response.headers["X-Request-ID"] = g.request_id
        return response

    def metrics(self) -> Response:
        results, size = self._uploads.usage()
        self._metrics.kept.set(results)
        self._metrics.kept_bytes.set(size)
        return Response(self._metrics.text(), content_type=CONTENT_TYPE_LATEST)

    def _count(self, response: Response, seconds: float, now: float) -> None:
        metrics = self._metrics
        metrics.requests.labels(route(), method(), response.status_code).inc()
        metrics.seconds.labels(route()).observe(seconds)
        metrics.waiting.set(self._engine.waiting())
        metrics.note_memory(now)
        if "answers" in g:
            metrics.stages.labels("render").observe(now - g.answered_at)
        elif response.status_code >= HTTPStatus.BAD_REQUEST:
            metrics.refused(HTTPStatus(response.status_code))
        if request.endpoint == "give_feedback" and response.status_code < HTTPStatus.BAD_REQUEST:
            metrics.feedback.labels("yes" if request.form.get("right") == "yes" else "no").inc()

    def _line(self, response: Response, seconds: float) -> dict[str, Any]:
        line = {
            "request_id": g.request_id,
            "client": request.remote_addr,
            "method": method(),
            "route": route(),
            "status": response.status_code,
            "bytes": response.content_length,
            "seconds": round(seconds, 4),
        }
        photos = [photo_line(answer) for answer in g.get("answers", [])]
        names = [file.filename for file in request.files.values()] if self._names and photos else []
        return line | ({"photos": photos} if photos else {}) | ({"names": names} if names else {})


def photo_line(answer: Answer | ClassifierError) -> dict[str, Any]:
    """What the log tells of a photo: where its time went, or why it was refused."""
    if isinstance(answer, ClassifierError):
        return {"error": type(answer).__name__}
    if not answer.stages:
        return {}
    return {name: round(value, 4) for name, value in vars(answer.stages).items()}


def route() -> str:
    """The pattern that the address matched, not the address: ids are nobody's business."""
    return request.url_rule.rule if request.url_rule else UNKNOWN


def method() -> str:
    """One of the known methods, however the client wrote it."""
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else UNKNOWN
