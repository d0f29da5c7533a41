"""Exact copies, by their bytes, and near copies, by a difference hash of what they look like."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np
from PIL import Image

from classifier.dataset.layout import Photo
from classifier.dataset.options import PARTS
from classifier.dataset.reading import Dataset
from classifier.photos.files import Rejected

STEP = 2.0  # grey levels; a smaller difference between neighbours is noise, or a JPEG artefact on a plain background
PLAIN = 24  # bits; pictures on a plain background have as many in common with each other
ROWS = 16  # hashes compared with all others at once, so that the distances stay in the processor's cache

Group = tuple[Photo, ...]


def without_duplicates(dataset: Dataset) -> Dataset:
    """Return the dataset with each content once, because a copy of a test photo must not be trained on.

    Of copies within a class, the one in the last part stays (test before validation before train). A photo that is in
    two classes cannot be right in both, so none of its copies stays.
    """
    copies = defaultdict(list)
    for i, digest in enumerate(dataset.digests):
        copies[digest].append(i)
    kept: list[int] = []
    rejected: list[Rejected] = []
    for indices in copies.values():
        contradicting = len({dataset.photos[i].label for i in indices}) > 1
        reason = "the same photo is in two classes" if contradicting else "a copy of another photo"
        best = None if contradicting else max(indices, key=lambda i: PARTS.index(dataset.photos[i].part or "train"))
        kept += [i for i in indices if i == best]
        rejected += [Rejected(dataset.photos[i].path, reason) for i in indices if i != best]
    return dataset.subset(sorted(kept), rejected)


def difference_hash(image: Image.Image) -> bytes:
    """Return 256 bits: the places where the picture, as 16 rows of 17 greys, gets darker from left to right."""
    greys = np.asarray(image.convert("F").resize((17, 16), Image.Resampling.BILINEAR))
    return np.packbits(greys[:, :-1] > greys[:, 1:] + STEP).tobytes()


def linked(hashes: np.ndarray) -> np.ndarray:
    """Link hashes that are near each other, directly or through others: uint64 (n, 4) -> group numbers, int (n,)."""
    groups = np.arange(len(hashes))
    ones = np.bitwise_count(hashes).sum(axis=1, dtype=np.uint16)
    limits = (np.minimum(ones, 256 - ones).clip(PLAIN) - PLAIN) // 4  # in bits; more for pictures with more detail
    for start in range(0, len(hashes), ROWS):
        some, others = slice(start, start + ROWS), slice(start, None)
        by_word = (np.bitwise_count(hashes[some, None, word] ^ hashes[None, others, word]) for word in range(4))
        near = sum(by_word, np.uint16(0)) < np.minimum(limits[some, None], limits[others])  # (ROWS, n - start)
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each is near to itself
            groups[np.isin(groups, groups[others][near[row]])] = groups[start + row]
    return groups


def grouped(photos: Iterable[Photo], keys: Iterable[Hashable]) -> list[Group]:
    """Return the groups of two or more photos that share a key."""
    groups = defaultdict(list)
    for photo, key in zip(photos, keys, strict=True):
        groups[key].append(photo)
    return [tuple(group) for group in groups.values() if len(group) > 1]
