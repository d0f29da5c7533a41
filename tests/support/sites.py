"""The site with a toy model in this process: requests to it, and an address for it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask.testing import FlaskClient
from support.models import ToyModel
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator

from app import create_app
from classifier.errors import Unavailable
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def post(client: FlaskClient, *files: bytes | tuple[bytes, str], json: bool = False):
    """Send files as a browser does; `json` asks for JSON."""
    named = [file if isinstance(file, tuple) else (file, "photo.png") for file in files]
    data = {"fileImage": [(io.BytesIO(content), name) for content, name in named]}
    return client.post("/", data=data, headers={"Accept": "application/json"} if json else {})


class Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


def closed(app: WSGIApplication) -> WSGIApplication:
    """Return the app with each response read and closed at once.

    Werkzeug's server leaves the file of a response open if the browser has gone by then.
    """

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        with closing(ClosingIterator(app(environ, start_response))) as response:
            return list(response)

    return respond


@contextmanager
def listening(app: WSGIApplication) -> Iterator[int]:
    """Serve an app by threads at 127.0.0.1; gives the port."""
    server = make_server("127.0.0.1", 0, closed(app), threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def served(engine: LocalEngine, uploads: Path, keep_hours: float) -> Iterator[str]:
    """Run a site; gives its address."""
    settings = Settings(uploads=uploads, keep_hours=keep_hours)
    app = create_app(engine, settings, KeptResults(uploads, keep_hours))
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}/"
    engine.close()


class SpyingEngine(LocalEngine):
    """Records the files that arrive, can be held, and refuses as often as it is told."""

    def __init__(self) -> None:
        super().__init__(ToyModel())
        self.forget()

    def forget(self) -> None:
        self.arrived: list[bytes] = []
        self.refusals = 0
        self.at_once = self.most_at_once = 0
        self.open = threading.Event()
        self.open.set()

    def classify(self, files, top=None):
        self.arrived += files
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.open.wait(10)
        self.at_once -= 1
        return super().classify(files, top)

    def admit(self):
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("More photos are waiting than can be answered in time; please try again shortly.")
        return super().admit()
