"""A name or a folder -> a warm model. Importing this loads no TensorFlow; `load` does."""

from classifier.contract import ServedModel
from classifier.models.quick_start import import_keras
from classifier.options import ModelOptions


def load(options: ModelOptions) -> ServedModel:
    """Return `loading.load(options)`, importing TensorFlow only now. Raises StartupError."""
    import_keras()
    from classifier.models import loading

    return loading.load(options)
