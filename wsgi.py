"""Settings -> engine -> app: what gunicorn (`wsgi:app`) and `flask --app wsgi run` load."""

import logging
import os
import sys

from flask import Flask

from app import create_app
from classifier.engine import Engine
from classifier.errors import StartupError
from classifier.uploads import Uploads
from settings import Settings

CANNOT_START = 4  # gunicorn's APP_LOAD_ERROR: its master stops, too, and does not try again and again


def build() -> Flask:
    """The whole site as the environment configures it, its model warm. Raises StartupError."""
    settings = Settings.from_environ(os.environ)
    from classifier import model  # imports TensorFlow: not before the settings are known to be good

    engine = Engine(
        model.load(settings.model, settings.weights, settings.labels, settings.precision),
        resize=settings.resize,
        top=settings.top,
        max_megapixels=settings.max_megapixels,
        max_batch=settings.max_batch,
        max_wait_ms=settings.max_wait_ms,
        max_waiting=settings.max_waiting,
        timeout_s=settings.timeout_s,
    )
    uploads = Uploads(settings.uploads, settings.keep_hours, settings.keep_mb)
    uploads.start_sweeping()
    return create_app(engine, settings, uploads)


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
try:
    app = build()
except StartupError as error:
    print(f"Cannot start: {error}", file=sys.stderr, flush=True)
    sys.exit(CANNOT_START)
