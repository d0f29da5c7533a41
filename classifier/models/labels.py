"""The names of a model's outputs, resolved once at start-up and never during a request."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from classifier.contract import Label
from classifier.errors import StartupError
from classifier.terms import Term, Terms
from classifier.text import is_class_name, one_line

IMAGENET = Path(__file__).with_name("imagenet.json")
IMAGENET_CLASSES = 1000
WAY_OUT = "Way out: correct the file, or leave CLASSIFIER_LABELS unset for ImageNet's 1,000 classes."


def imagenet() -> list[Label]:
    """Return the 1,000 ImageNet classes in the order of the outputs."""
    return [Label(wnid, name) for wnid, name, _ in imagenet_file()["classes"]]


def imagenet_terms(labels: Iterable[Label]) -> Terms:
    """Return the everyday terms above classes with ImageNet's WordNet IDs, each for two classes or more."""
    document = imagenet_file()
    parents = {wnid: above for wnid, _, above in document["classes"]}
    classes = defaultdict(list)
    for index, label in enumerate(labels):
        for wnid in ancestors(parents.get(label.wnid, []), document["broader"]):
            classes[wnid].append(index)
    words = document["everyday"].items()
    return Terms(tuple(Term(wnid, word, tuple(classes[wnid])) for wnid, word in words if len(classes[wnid]) > 1))


def ancestors(wnids: Sequence[str], broader: Mapping[str, tuple[str, list[str]]]) -> set[str]:
    """Return these terms and all that are broader."""
    found: set[str] = set()
    left = [*wnids]
    while left:
        wnid = left.pop()
        if wnid not in found:
            found.add(wnid)
            left += broader[wnid][1]
    return found


def imagenet_file() -> dict[str, Any]:
    """Return the content of imagenet.json, which scripts/imagenet_classes.py writes."""
    document: dict[str, Any] = json.loads(IMAGENET.read_text("utf-8"))
    return document


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
