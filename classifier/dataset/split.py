"""The split: photos to train on, photos that choose the best epoch, and photos held out for the test."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from classifier.dataset.options import PARTS
from classifier.dataset.reading import Dataset
from classifier.errors import DataError

Parts = dict[str, np.ndarray]  # the indices of the photos of each part

MORE_PHOTOS = "add photos taken at other moments, or divide the folder by hand into train, validation and test"
PURPOSES = {"train": "to train on", "validation": "for validation", "test": "for the test"}


def split(dataset: Dataset, validation: float, test: float, seed: int) -> Parts:
    """Return the indices of each part's photos: a stratified split, reproducible by its seed.

    `validation` and `test` are shares of all photos. Parts given by the folders are used as they are; a missing one is
    drawn from the training photos, and near copies stay together. Raises DataError if a class has no photo for a part.
    """
    parts = np.array([photo.part or "train" for photo in dataset.photos], dtype="<U10")
    random = np.random.default_rng(seed)
    given = set(parts)
    for part, share in (("test", test), ("validation", validation / (1 - test))):
        if part not in given:
            left = 1 + ("validation" not in given and part == "test")
            parts[sample_stratified(dataset.labels, dataset.near_copies, parts == "train", share, left, random)] = part
    indices = {part: np.flatnonzero(parts == part) for part in PARTS}
    for part in PARTS:
        check(part, dataset.labels[indices[part]], dataset.classes)
    return indices


def fitted_to(parts: Parts) -> np.ndarray:
    """Return the indices of the training photos and then the validation photos, which a head may be fitted to."""
    return np.concatenate([parts["train"], parts["validation"]])


def sample_stratified(
    labels: np.ndarray,
    groups: np.ndarray,
    candidates: np.ndarray,
    share: float,
    left: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Draw a share of the candidates of every class as whole groups, at least one group if more than `left` are there.

    `labels` and `groups` are int (n,), `candidates` is bool (n,). A group of several classes counts for the smallest.
    """
    chosen = np.zeros(len(labels), bool)
    order = np.argsort(np.bincount(labels[candidates], minlength=labels.max(initial=0) + 1)[labels], kind="stable")
    names, first = np.unique(np.where(candidates, groups, -1)[order], return_index=True)
    inverse = np.searchsorted(names, np.where(candidates, groups, -1))
    owners = labels[order[first]][inverse]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(candidates & (owners == label)))
        wanted = max(1, round(share * len(members)))
        chosen[np.isin(inverse, draw(inverse[members], wanted, left)) & candidates] = True
    return np.flatnonzero(chosen)


def draw(groups: np.ndarray, wanted: int, left: int) -> list[int]:
    """Choose groups, in the order of their first members, that together have `wanted` members at most, or one group."""
    sizes = Counter(groups.tolist())
    chosen: list[int] = []
    for group, size in sizes.items():
        if size <= wanted and len(chosen) < len(sizes) - left:
            chosen.append(group)
            wanted -= size
    smallest = min(sizes, key=lambda group: sizes[group]) if len(sizes) > left else None
    return chosen or ([] if smallest is None else [smallest])


def check(part: str, labels: np.ndarray, classes: Sequence[str]) -> None:
    missing = [name for label, name in enumerate(classes) if label not in labels]
    if missing:
        raise DataError(
            f"There is no photo of {', '.join(missing[:5])} {PURPOSES[part]}; every class needs at least three "
            f"readable, different photos, one {', one '.join(PURPOSES.values())}, and near copies count as one, "
            f"of one class; {MORE_PHOTOS}."
        )
