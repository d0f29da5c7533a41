"""A name or a folder -> a warm model. Importing this loads no TensorFlow; `load` does."""

from pathlib import Path

from classifier.contract import ServedModel


def load(
    name: str, weights: str = "imagenet", labels: str | Path | None = None, precision: str = "float32"
) -> ServedModel:
    """`loading.load`, whose TensorFlow is not imported before. Raises StartupError."""
    from classifier.models import loading

    return loading.load(name, weights, Path(labels) if labels else None, precision)
