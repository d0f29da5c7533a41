"""The split: photos to train on, photos that choose the best epoch, and photos held out for the test."""

from collections.abc import Sequence

import numpy as np

from classifier.dataset.options import PARTS
from classifier.dataset.reading import Dataset
from classifier.errors import DataError

Parts = dict[str, np.ndarray]  # the indices of the photos of each part

PURPOSES = {"train": "to train on", "validation": "for validation", "test": "for the test"}


def split(dataset: Dataset, validation: float, test: float, seed: int) -> Parts:
    """Return the indices of each part's photos: a stratified split, reproducible by its seed.

    `validation` and `test` are shares of all photos. Parts given by the folders are used as they are; a missing one is
    drawn from the training photos. Raises DataError if a class has no photo for a part.
    """
    parts = np.array([photo.part or "train" for photo in dataset.photos], dtype="<U10")
    random = np.random.default_rng(seed)
    given = set(parts)
    for part, share in (("test", test), ("validation", validation / (1 - test))):
        if part not in given:
            parts[sample_stratified(dataset.labels, parts == "train", share, random)] = part
    indices = {part: np.flatnonzero(parts == part) for part in PARTS}
    for part in PARTS:
        check(part, dataset.labels[indices[part]], dataset.classes)
    return indices


def sample_stratified(
    labels: np.ndarray, candidates: np.ndarray, share: float, random: np.random.Generator
) -> np.ndarray:
    """Draw a share of the candidates of every class, at least one from a class that has two or more."""
    chosen = [np.empty(0, int)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(candidates & (labels == label)))
        chosen.append(members[: min(len(members) - 1, max(1, round(share * len(members))))])
    return np.concatenate(chosen)


def check(part: str, labels: np.ndarray, classes: Sequence[str]) -> None:
    missing = [name for label, name in enumerate(classes) if label not in labels]
    if missing:
        raise DataError(
            f"There is no photo of {', '.join(missing[:5])} {PURPOSES[part]}; every class needs at least three "
            f"readable, different photos: one {', one '.join(PURPOSES.values())}."
        )
