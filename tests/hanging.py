"""A site for gunicorn whose model hangs on a black photo: `hanging:app`."""

import threading
from pathlib import Path
from tempfile import gettempdir

from conftest import ToyModel

from app import create_app
from classifier.engine import Engine
from classifier.uploads import Uploads
from settings import Settings


class Hanging(ToyModel):
    def __call__(self, images):
        if not images.any():
            threading.Event().wait()
        return super().__call__(images)


app = create_app(
    Engine(Hanging(), timeout_s=1), Settings(keep_hours=0), Uploads(Path(gettempdir(), "none"), keep_hours=0)
)
