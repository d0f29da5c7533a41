"""The names of a model's outputs, resolved once at start-up and never during a request."""

import json
from pathlib import Path

from classifier.contract import Label
from classifier.errors import StartupError
from classifier.text import is_class_name, one_line

IMAGENET = Path(__file__).with_name("imagenet.json")
IMAGENET_CLASSES = 1000
WAY_OUT = "Way out: correct the file, or leave CLASSIFIER_LABELS unset for ImageNet's 1,000 classes."


def imagenet() -> list[Label]:
    """Return the 1,000 ImageNet classes in the order of the outputs."""
    classes = json.loads(IMAGENET.read_text("utf-8"))["classes"]
    return [Label(wnid, name) for wnid, name, _ in classes]


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
            f'"1": ...}} without gaps, found {type(exc).__name__} {one_line(exc)}. {WAY_OUT}'
        ) from exc
    if len(labels) < 2:
        raise StartupError(f"The labels {path} cannot be used: expected at least 2, found {len(labels)}. {WAY_OUT}")
    return labels


def parsed(entry: object) -> Label:
    """Return one entry of a class-index file. Raises ValueError unless it is a WordNet id and a name."""
    match entry:
        case [str(wnid), str(name)] if is_class_name(name):
            return Label(wnid, name)
    raise ValueError(f"the entry {entry!r:.80}")
