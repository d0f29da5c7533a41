"""Find the same photo, and nearly the same, more than once."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np
from PIL import Image

from classifier.dataset.reading import Dataset, Photo, Rejected


def without_duplicates(dataset: Dataset) -> Dataset:
    """Each content once: a copy of a test photo among the training photos would make the test a fraud.

    Of copies within a class the one of the last part stays (test before validation before train); one that is in
    two classes cannot be right in both, so none of it stays.
    """
    copies = defaultdict(list)
    for i, digest in enumerate(dataset.digests):
        copies[digest].append(i)
    kept, rejected = [], []
    for same in copies.values():
        photos = [dataset.photos[i] for i in same]
        contradicting = len({photo.label for photo in photos}) > 1
        best = max(same, key=lambda i: ["train", "validation", "test"].index(dataset.photos[i].part or "train"))
        kept += [] if contradicting else [best]
        reason = "the same photo is in two classes" if contradicting else "a copy of another photo"
        rejected += [Rejected(dataset.photos[i].path, reason) for i in same if contradicting or i != best]
    return dataset.subset(sorted(kept), rejected)


STEP = 2.0  # grey levels between neighbours that count: less is noise, or what a JPEG makes of a plain background
PLAIN = 24  # bits: what a picture may have in common with others for being something on a plain background
ROWS = 16  # hashes compared with all others at once; their distances stay in the processor's cache
Group = tuple[Photo, ...]


def difference_hash(image: Image.Image) -> bytes:
    """256 bits: where the picture, as 16 rows of 17 greys, gets darker from left to right."""
    greys = np.asarray(image.convert("F").resize((17, 16), Image.Resampling.BILINEAR))
    return np.packbits(greys[:, :-1] > greys[:, 1:] + STEP).tobytes()


def linked(hashes: np.ndarray) -> np.ndarray:
    """uint64 (n, 4) -> int (n,): the same number for hashes that are near each other, also by way of others."""
    groups = np.arange(len(hashes))
    ones = np.bitwise_count(hashes).sum(axis=1, dtype=np.uint16)
    limits = (np.minimum(ones, 256 - ones).clip(PLAIN) - PLAIN) // 4  # in bits; the more a picture tells, the more
    for start in range(0, len(hashes), ROWS):
        some, others = slice(start, start + ROWS), slice(start, None)
        by_word = (np.bitwise_count(hashes[some, None, word] ^ hashes[None, others, word]) for word in range(4))
        near = sum(by_word, np.uint16(0)) < np.minimum(limits[some, None], limits[others])  # (ROWS, n - start)
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each is near to itself
            groups[np.isin(groups, groups[others][near[row]])] = groups[start + row]
    return groups


def grouped(photos: Iterable[Photo], keys: Iterable[Hashable]) -> list[Group]:
    """The photos that share a key with another."""
    groups = defaultdict(list)
    for photo, key in zip(photos, keys, strict=True):
        groups[key].append(photo)
    return [tuple(group) for group in groups.values() if len(group) > 1]
