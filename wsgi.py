"""Settings -> engine -> app: what gunicorn (`wsgi:app`) and `flask --app wsgi run` load."""

import logging
import os
from functools import partial
from pathlib import Path

from flask import Flask

from app import create_app
from classifier import logs
from classifier.cluster.remote_engine import RemoteEngine
from classifier.contract import Engine
from classifier.errors import NotDownloaded
from classifier.model_server.client import shared_model
from classifier.models import load
from classifier.models.downloads import NotCached, fetch, obtain, refuse
from classifier.serving.engine import LocalEngine
from classifier.serving.swapping import Succession, SwappingEngine, unavailable
from classifier.storage.kept import KeptResults
from web.ops.worker import MODEL_SERVERS, exits_if_it_cannot_start
from web.settings import Settings

log = logging.getLogger(__name__)


def build() -> Flask:
    """Return the whole site as the environment configures it, its model warm. Raises StartupError."""
    settings = Settings.from_environ(os.environ)
    uploads = KeptResults(settings.uploads, settings.keep_hours, settings.keep_mb)
    engine = available_engine(settings)
    uploads.start_sweeping()
    return create_app(engine, settings, uploads)


def available_engine(settings: Settings) -> Engine:
    """Return the engine, or that of the fallback while the weights are downloaded or if they cannot be.

    Raises StartupError; without a fallback, NotDownloaded.
    """
    try:
        return engine_of(settings)
    except NotCached as missing:
        if not settings.fallback:
            obtain(missing.file)
            return engine_of(settings)
        swapping = SwappingEngine(fallback_engine(settings))
        Succession(swapping, missing.file.title).start(partial(fetch, missing.file), partial(engine_of, settings))
        return swapping
    except NotDownloaded as error:  # the replicas on Ray have tried
        if not settings.fallback:
            raise
        log.warning(error)
        fallback = fallback_engine(settings)
        return SwappingEngine(fallback, unavailable(settings.model, fallback.model.name, "by the replicas"))


def fallback_engine(settings: Settings) -> Engine:
    return engine_of(settings.model_copy(update={"model": settings.fallback}))


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
        return LocalEngine(model, settings.limits, model.is_lost, model.close)
    return LocalEngine(load(settings.model_options, fetch=refuse), settings.limits)


logs.configure()
with exits_if_it_cannot_start():
    app = build()
