"""A site with a toy model: it answers by the average colour, so every test can tell what it must say."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from classifier.contract import Label
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
COLOURS = {"red": "red_fox", "lime": "Egyptian_cat", "blue": "blue_jay"}

CHROMIUM = shutil.which("chromium")
BROWSER_MS = 30_000  # only a broken page ever waits so long, or one on a machine that does much else

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium here (apt-get install chromium)")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data (real weights and photos) here")


class ToyModel:
    """Red, green or blue: whichever channel is brightest on average."""

    name = "toy"
    labels: ClassVar = [Label(f"n{i:08}", label) for i, label in enumerate(COLOURS.values())]
    size = (224, 224)
    device = "CPU"
    precision = "float32"
    is_random = False
    threshold = 0.0
    largest_run = 128

    def __call__(self, images: np.ndarray) -> np.ndarray:
        means = images.mean(axis=(1, 2)) + 1.0  # (n, 3)
        return means / means.sum(axis=1, keepdims=True)

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Hot where there is much of the class's colour: (7, 7)."""
        return image[16::32, 16::32, index].astype(np.float32) / 255


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(colour: str = "red", size: tuple[int, int] = (320, 240), format: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.new("RGB", size, colour), format, **options)


def textured(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """No symmetry and no flat parts: every mistake in cutting, turning or scaling shows."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = np.stack([x, y, (np.sin(19 * x + 7 * y * y) + 1) / 2], axis=-1)
    return Image.fromarray((waves * 255).astype(np.uint8))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(uploads=tmp_path / "uploads")


@pytest.fixture
def make_client(settings: Settings):
    """Clients of a site with the toy model; keyword arguments are settings."""

    def make(**changes: Any) -> FlaskClient:
        chosen = Settings(**{**vars(settings), **changes})
        engine = LocalEngine(ToyModel(), resize=chosen.resize, top=chosen.top, max_megapixels=chosen.max_megapixels)
        return create_app(engine, chosen, KeptResults(chosen.uploads, chosen.keep_hours, chosen.keep_mb)).test_client()

    return make


@pytest.fixture
def client(make_client) -> FlaskClient:
    return make_client()


def wait_until(condition: Callable[[], bool], within_s: float) -> None:
    """Ask again and again; fails when it takes longer."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


@contextmanager
def listening(app: WSGIApplication) -> Iterator[int]:
    """The port on 127.0.0.1 at which an app is served by threads."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=BROWSER_MS)
    with sync_playwright() as playwright:
        # --no-sandbox: CI runs as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def post(client: FlaskClient, *files: bytes | tuple[bytes, str], json: bool = False):
    """Send files as a browser does; `json` asks for JSON."""
    named = [file if isinstance(file, tuple) else (file, "photo.png") for file in files]
    data = {"fileImage": [(io.BytesIO(content), name) for content, name in named]}
    return client.post("/", data=data, headers={"Accept": "application/json"} if json else {})
