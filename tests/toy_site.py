"""A site for gunicorn without TensorFlow: `toy_site:app`. Its model hangs on black and fails on white photos."""

import threading
import time
from pathlib import Path
from tempfile import gettempdir

from conftest import ToyModel

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings


class MoodyModel(ToyModel):
    """As slow as a small network, so that photos meet in batches."""

    def __call__(self, images):
        time.sleep(0.01)
        means = images.mean(axis=(1, 2, 3))
        if (means == 0).any():
            threading.Event().wait()
        if (means == 255).any():
            raise MemoryError
        return super().__call__(images)


app = create_app(
    LocalEngine(MoodyModel(), timeout_s=2),
    Settings(keep_hours=0),
    KeptResults(Path(gettempdir(), "none"), keep_hours=0),
)
