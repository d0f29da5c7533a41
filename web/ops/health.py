"""Health checks for load balancers and supervisors: /healthz and /readyz."""

import logging
from collections.abc import Callable

from flask import Flask, Response, jsonify

from classifier.contract import Engine
from classifier.errors import Unavailable
from classifier.storage.kept import KeptResults
from web.marks import public

log = logging.getLogger(__name__)


class Health:
    """The checks and their views. The server replaces `is_draining`, which returns whether it is shutting down."""

    is_draining: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, engine: Engine, uploads: KeptResults) -> None:
        self._engine = engine
        self._uploads = uploads

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/healthz", view_func=self.healthy)
        app.add_url_rule("/readyz", view_func=self.ready)
        app.extensions["health"] = self

    @public
    def healthy(self) -> Response:
        self.check_alive()
        return jsonify(status="alive")

    @public
    def ready(self) -> Response:
        self.check_ready()
        model = self._engine.model
        reasons = {"fallback": self._engine.fallback(), "device_reason": model.device_reason}
        given = {name: reason for name, reason in reasons.items() if reason}
        return jsonify(status="ready", model=model.name, device=model.device, precision=model.precision, **given)

    def check_alive(self) -> None:
        """Raise Unavailable if the model has stopped responding, so this process should be replaced."""
        if not self._engine.is_alive():
            raise Unavailable("The model is not responding; this process must be replaced.")

    def check_ready(self) -> None:
        """Raise Unavailable if a photo sent now would be refused. The model is warm before the first request."""
        self.check_alive()
        if self.is_draining():
            raise Unavailable("The site is being restarted; please try again shortly.")
        with self._engine.admit():
            pass  # and leave at once, because no photo will follow
        self._check_uploads()

    def _check_uploads(self) -> None:
        """Raise Unavailable if results cannot be kept. Photos are still answered, but other machines are better."""
        try:
            self._uploads.check_room()
        except OSError as exc:
            log.warning("Results cannot be kept: %s", exc)
            raise Unavailable("Results cannot be kept at present; the site's administrator must make room.") from exc
