"""A site for gunicorn without TensorFlow, `support.toy_site:app`: it hangs on black and fails on white photos."""

from pathlib import Path
from tempfile import gettempdir

from support.models import MoodyModel

from app import create_app
from classifier.options import Limits
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

app = create_app(
    LocalEngine(MoodyModel(), Limits(timeout_s=2)),
    Settings(keep_hours=0),
    KeptResults(Path(gettempdir(), "none"), keep_hours=0),
)
