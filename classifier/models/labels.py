"""The names of a model's outputs, resolved once at start-up and never during a request."""

import json
from pathlib import Path

import numpy as np

from classifier.contract import Label
from classifier.errors import NotDownloaded, StartupError
from classifier.text import is_class_name, one_line

IMAGENET_CLASSES = 1000
WAYS_OUT = (
    "Ways out: let this machine reach the internet once; or copy imagenet_class_index.json into ~/.keras/models/; "
    "or set CLASSIFIER_LABELS to such a file."
)


def imagenet() -> list[Label]:
    """Return the 1000 ImageNet classes in the order of the outputs; Keras downloads and caches them.

    Raises NotDownloaded if they are not cached and cannot be downloaded.
    """
    from keras.applications.imagenet_utils import decode_predictions

    try:
        # Rising scores, so that the ranking from best to worst is the reverse of the order of the outputs.
        (ranked,) = decode_predictions(np.arange(float(IMAGENET_CLASSES))[np.newaxis], top=IMAGENET_CLASSES)
    except Exception as exc:  # Keras raises bare Exception for a failed download
        raise NotDownloaded(
            "The labels cannot be obtained: expected Keras' ImageNet class index in ~/.keras/models or from the "
            f"internet, found neither ({one_line(exc)}). {WAYS_OUT}"
        ) from exc
    return [Label(wnid, name) for wnid, name, _ in reversed(ranked)]


def read(path: Path) -> list[Label]:
    """Read the labels of a class-index file: `{"0": ["n01440764", "tench"], ...}`, each index from 0 once.

    Raises StartupError.
    """
    try:
        index = json.loads(path.read_text("utf-8"))
        labels = [parsed(index[str(i)]) for i in range(len(index))]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise StartupError(
            f'The labels {path} cannot be used: expected a JSON object like {{"0": ["n01440764", "tench"], '
            f'"1": ...}} without gaps, found {type(exc).__name__} {one_line(exc)}. {WAYS_OUT}'
        ) from exc
    if len(labels) < 2:
        raise StartupError(f"The labels {path} cannot be used: expected at least 2, found {len(labels)}. {WAYS_OUT}")
    return labels


def parsed(entry: object) -> Label:
    """Return one entry of a class-index file. Raises ValueError unless it is a WordNet id and a name."""
    match entry:
        case [str(wnid), str(name)] if is_class_name(name):
            return Label(wnid, name)
    raise ValueError(f"the entry {entry!r:.80}")


def placeholders(count: int = IMAGENET_CLASSES) -> list[Label]:
    """Return names for the classes of a model with random weights, whose answers have no meaning."""
    return [Label("", f"class_{i}") for i in range(count)]
