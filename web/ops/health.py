"""Is it alive, is it ready: for whatever watches over the site."""

import logging
from collections.abc import Callable

from flask import Flask, Response, jsonify

from classifier.contract import Engine
from classifier.errors import Unavailable
from classifier.storage.kept import KeptResults

log = logging.getLogger(__name__)


class Health:
    """The views /healthz and /readyz. `is_draining` is the server's to replace: whether it takes no more requests."""

    is_draining: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, engine: Engine, uploads: KeptResults) -> None:
        self._engine = engine
        self._uploads = uploads

    def add_to(self, app: Flask) -> None:
        app.add_url_rule("/healthz", view_func=self.healthy)
        app.add_url_rule("/readyz", view_func=self.ready)
        app.extensions["health"] = self

    def healthy(self) -> Response:
        """Alive: the model comes back. Not so means that this process should be replaced."""
        if not self._engine.is_alive():
            raise Unavailable("The model does not come back; this process has to be replaced.")
        return jsonify(status="alive")

    def ready(self) -> Response:
        """Ready for work; the model is warm before the first request is taken."""
        self.healthy()
        if self.is_draining():
            raise Unavailable("The site is being restarted; please try again shortly.")
        with self._engine.admit():
            self._check_uploads()
        model = self._engine.model
        return jsonify(status="ready", model=model.name, device=model.device, precision=model.precision)

    def _check_uploads(self) -> None:
        """Outcomes can be kept. Where they cannot they are still given, but another machine would do better."""
        try:
            self._uploads.check_room()
        except OSError as exc:
            log.warning("Outcomes cannot be kept: %s", exc)
            raise Unavailable("Outcomes cannot be kept at present; whoever runs this site has to make room.") from exc
