"""A name or a folder -> a warm model. Importing this loads no TensorFlow; `load` does."""

from collections.abc import Callable

from classifier.contract import ServedModel
from classifier.models.downloads import RemoteFile, obtain
from classifier.options import ModelOptions


def load(options: ModelOptions, fetch: Callable[[RemoteFile], None] = obtain) -> ServedModel:
    """Return `loading.load(options, fetch)`, importing TensorFlow only now. Raises StartupError."""
    from classifier.models import loading

    return loading.load(options, fetch)
