"""What the site adds to the bare model, for one client: `make bench`.

Starts the site (VGG16 with random weights unless CLASSIFIER_* says otherwise; the arithmetic is the same),
then times, in turns within one run, the bare compiled model on ready pixels and whole requests over HTTP.
Prints start-up time, resident memory, and the medians with their difference.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter
from serving import Site, multipart, running

if TYPE_CHECKING:
    from classifier.models.model import Model

ROUNDS = 15
WARM_UP = 2
PAUSE_S = 0.05  # until the other process' threads have stopped spinning


def main() -> None:
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    photos = {"110 kB photo": jpeg(500, 375, 97), "12-megapixel photo": jpeg(4000, 3000, 88)}
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        print(f"ready to answer after  {site.started_in_s:6.1f} s")
        print(f"memory after warm-up   {site.resident_mb():6.0f} MB")
        model = bare_model()
        pixels = np.zeros((1, *model.info.size, 3), np.uint8)
        for name, photo in photos.items():
            bare, request = in_turns(lambda: model(pixels), lambda photo=photo: post(site, photo))
            sizes = f"{name} ({len(photo) / 1000:.0f} kB)"
            print(f"{sizes:30} request {request:6.1f} ms, bare model {bare:6.1f} ms, added {request - bare:5.1f} ms")
        print(f"memory after {(ROUNDS + WARM_UP) * len(photos)} photos {site.resident_mb():6.0f} MB")


def bare_model() -> Model:
    from classifier.models.loading import load
    from web.settings import Settings

    return load(Settings.from_environ(os.environ).model_options)


def in_turns(*functions: Callable[[], object]) -> list[float]:
    """The median milliseconds of each, called one after the other so that noise hits all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for round_ in range(ROUNDS + WARM_UP):
        for function, taken in zip(functions, times, strict=True):
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            function()
            if round_ >= WARM_UP:
                taken.append((time.perf_counter() - started) * 1000)
    return [statistics.median(taken) for taken in times]


def post(site: Site, photo: bytes) -> None:
    with closing(HTTPConnection(site.host, site.port)) as connection:
        connection.request("POST", "/", *multipart("fileImage", photo))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()


def jpeg(width: int, height: int, quality: int, seed: int = 0) -> bytes:
    """A picture with about a photo's detail: blurred noise, seeded."""
    noise = np.random.default_rng(seed).normal(128, 90, (height, width, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.2)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
