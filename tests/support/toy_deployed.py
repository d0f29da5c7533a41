"""The toy model as the environment configures it: `support.toy_deployed:app`. TOY_LOADS_S delays it."""

import os
import time

from support.models import MoodyModel

from app import create_app
from classifier import logs
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

logs.configure()
settings = Settings.from_environ(os.environ)
time.sleep(float(os.environ.get("TOY_LOADS_S", "0")))
engine = LocalEngine(MoodyModel(), settings.limits)
uploads = KeptResults(settings.uploads, settings.keep_hours, settings.keep_mb)
uploads.start_sweeping()
app = create_app(engine, settings, uploads)
