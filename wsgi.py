"""Settings -> engine -> app: what gunicorn (`wsgi:app`) and `flask --app wsgi run` load."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Flask

from app import create_app
from classifier.cluster.remote_engine import RemoteEngine
from classifier.cluster.replica import local_engine
from classifier.errors import NotDownloaded, StartupError
from classifier.models import load
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.ops import logs
from web.settings import ROOT, Settings

CANNOT_START = 4  # gunicorn's APP_LOAD_ERROR: its master stops, too, and does not try again and again


def build() -> Flask:
    """The whole site as the environment configures it, its model warm. Raises StartupError."""
    settings = Settings.from_environ(os.environ)
    uploads = KeptResults(settings.uploads, settings.keep_hours, settings.keep_mb)
    try:
        engine = engine_of(settings)
    except NotDownloaded as error:
        settings = with_fallback(settings, error)
        engine = engine_of(settings)
    uploads.start_sweeping()
    return create_app(engine, settings, uploads)


def engine_of(settings: Settings) -> LocalEngine | RemoteEngine:
    """The engine, its model warm, here or on a cluster. Raises StartupError."""
    of_model = settings.model, settings.weights, settings.labels, settings.precision
    bounds: dict[str, Any] = {
        "max_batch": settings.max_batch,
        "max_waiting": settings.max_waiting,
        "timeout_s": settings.timeout_s,
    }
    of_photos: dict[str, Any] = {
        "resize": settings.resize,
        "max_megapixels": settings.max_megapixels,
        "max_wait_ms": settings.max_wait_ms,
    }
    if settings.engine == "ray":
        from classifier.cluster.ray_serve import ServeReplicas  # imports Ray

        replicas = ServeReplicas(partial(load, *of_model), replicas=settings.replicas, **bounds, **of_photos)
        return RemoteEngine(replicas, top=settings.top, **bounds)
    return local_engine(load(*of_model), top=settings.top, **bounds, **of_photos)


def with_fallback(settings: Settings, error: NotDownloaded) -> Settings:
    """The settings with the fallback's model, which is trained on drawn pictures if it is not there.

    Raises the error where there is no fallback, and StartupError when training it fails.
    """
    if not settings.fallback:
        raise error
    notice = (
        f"The weights of {settings.model} could not be downloaded, so a small demo answers here; it knows circles, "
        f"squares, stars and triangles. Once this machine reaches the internet, `make run` serves {settings.model}; "
        "the README tells how to bring the weights otherwise."
    )
    print(f"{error}\n{notice}", file=sys.stderr, flush=True)
    if not settings.fallback.exists():
        done = subprocess.run([sys.executable, "-m", "classifier", "demo", "-o", settings.fallback], cwd=ROOT)
        if done.returncode:
            raise StartupError(f"{error} The demo could not be trained either.")
    return replace(settings, model=str(settings.fallback), notice=notice)


logs.configure()
try:
    app = build()
except StartupError as error:
    print(f"Cannot start: {error}", file=sys.stderr, flush=True)
    sys.exit(CANNOT_START)
