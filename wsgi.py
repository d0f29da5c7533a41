"""Settings -> engine -> app: what gunicorn (`wsgi:app`) and `flask --app wsgi run` load."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from flask import Flask

from app import create_app
from classifier import logs
from classifier.cluster.remote_engine import RemoteEngine
from classifier.contract import Engine
from classifier.errors import NotDownloaded, StartupError
from classifier.model_server.client import shared_model
from classifier.models import load
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.ops.worker import MODEL_SERVERS, exits_if_it_cannot_start
from web.settings import ROOT, Settings


def build() -> Flask:
    """Return the whole site as the environment configures it, its model warm. Raises StartupError."""
    settings = Settings.from_environ(os.environ)
    uploads = KeptResults(settings.uploads, settings.keep_hours, settings.keep_mb)
    try:
        engine = engine_of(settings)
    except NotDownloaded as error:
        settings = with_fallback(settings, error)
        engine = engine_of(settings)
    uploads.start_sweeping()
    return create_app(engine, settings, uploads)


def engine_of(settings: Settings) -> Engine:
    """Return the engine, its model warm: here, in the process that all web processes share, or on a cluster.

    Raises StartupError.
    """
    if settings.engine == "ray":
        from classifier.cluster.ray_serve import ServeReplicas  # imports Ray

        loads = partial(load, settings.model_options)
        return RemoteEngine(ServeReplicas(loads, settings.limits, replicas=settings.replicas), settings.limits)
    if folder := os.environ.get(MODEL_SERVERS):
        model = shared_model(Path(folder), settings.model_options, settings.timeout_s)
        return LocalEngine(model, settings.limits, model.is_lost)
    return LocalEngine(load(settings.model_options), settings.limits)


def with_fallback(settings: Settings, error: NotDownloaded) -> Settings:
    """Return the settings with the fallback's model, which is trained on drawn pictures if it is missing.

    Raises the error if no fallback is set, and StartupError if training it fails.
    """
    if not settings.fallback:
        raise error
    notice = (
        f"The weights of {settings.model} could not be downloaded, so a small demo answers here; it knows circles, "
        f"squares, stars and triangles. Once this machine has internet access, `make run` serves {settings.model}; "
        "docs/models.md explains how to install the weights without it."
    )
    print(f"{error}\n{notice}", file=sys.stderr, flush=True)
    if not settings.fallback.exists():
        done = subprocess.run([sys.executable, "-m", "classifier", "demo", "-o", settings.fallback], cwd=ROOT)
        if done.returncode:
            raise StartupError(f"{error} The demo could not be trained either.")
    return settings.model_copy(update={"model": str(settings.fallback), "notice": notice})


logs.configure()
with exits_if_it_cannot_start():
    app = build()
