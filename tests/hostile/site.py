"""The site with the toy model, which answers any photo: `hostile.site:app`."""

import os

from support.models import ToyModel

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

settings = Settings.from_environ(os.environ)
app = create_app(LocalEngine(ToyModel()), settings, KeptResults(settings.uploads))
