"""Groups of copies, and the dataset without exact ones."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

from classifier.dataset.layout import Photo
from classifier.dataset.options import PARTS
from classifier.dataset.reading import Dataset
from classifier.photos.files import Rejected

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


def grouped(photos: Iterable[Photo], keys: Iterable[Hashable]) -> list[Group]:
    """Return the groups of two or more photos that share a key."""
    groups = defaultdict(list)
    for photo, key in zip(photos, keys, strict=True):
        groups[key].append(photo)
    return [tuple(group) for group in groups.values() if len(group) > 1]
