"""A folder with a folder of photos per class -> pixels and labels, read exactly as serving reads them."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np

from classifier import contract
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode, fit
from classifier.photos.files import content, files, in_threads, subfolders

# Folders that divide the photos already, and the part that each stands for.
PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

log = logging.getLogger(__name__)


class Photo(NamedTuple):
    """A file in a class folder; `part` is train, validation or test where the folders say so."""

    path: Path
    label: int
    part: str | None = None


class Rejected(NamedTuple):
    """A file that is left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Photos that could be read, with their labels (indices into `classes`) and SHA-256 digests, in one order."""

    folder: Path
    classes: list[str]
    photos: list[Photo]
    digests: list[str]
    rejected: list[Rejected]
    rows: np.ndarray  # (n,) where each photo's pixels are
    pixels: np.ndarray  # uint8 (rows, height, width, 3), memory-mapped

    @property
    def labels(self) -> np.ndarray:
        """int (n,)"""
        return np.array([photo.label for photo in self.photos], int)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The pixels of some photos: uint8 (len(indices), height, width, 3)."""
        return np.asarray(self.pixels[self.rows[indices]])

    def tell_rejected(self) -> None:
        """Log which files are left out, and why."""
        for path, reason in self.rejected:
            log.warning("Left out: %s: %s", path, reason)

    def subset(self, indices: Iterable[int], rejected: Iterable[Rejected] = ()) -> "Dataset":
        """The same dataset with only some of its photos."""
        kept = list(indices)
        return Dataset(
            self.folder, self.classes, [self.photos[i] for i in kept], [self.digests[i] for i in kept],
            [*self.rejected, *rejected], self.rows[kept], self.pixels,
        )  # fmt: skip


def find(folder: Path) -> tuple[list[str], list[Photo]]:
    """The class names, sorted, and every file of every class, by path; no file is opened.

    `folder` holds a folder per class, or `train` and `test` (and `val`) folders that do.
    Raises DataError when there are no two classes.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one that holds a folder of photos per class.")
    parts = parts_of(folder) or {"": folder}
    classes = sorted(set().union(*(subfolders(path) for path in parts.values())))
    if len(classes) < 2:
        raise DataError(
            f"{folder} holds {len(classes)} class folder{'s' * (len(classes) != 1)}; expected at least two, "
            "each with photos of one class and named after it."
        )
    return classes, [photo for part, path in parts.items() for photo in in_part(path, classes, part or None)]


def parts_of(folder: Path) -> dict[str, Path]:
    """The parts of a divided folder, which has train and one other, or parts only; none when it is not divided.

    A part holds class folders. Raises DataError for two folders of the same part.
    """
    below = subfolders(folder)
    names = [(PARTS.get(name.lower()) if subfolders(path) else None, path) for name, path in below.items()]
    parts = {part: path for part, path in names if part}
    if len(parts) < sum(part is not None for part, _ in names):
        raise DataError(f"{folder} has two folders for the same part, such as val and validation; expected one.")
    has_only_parts = len(parts) == len(names) and {"train", "test"} & parts.keys()
    return parts if has_only_parts or ("train" in parts and len(parts) > 1) else {}


def in_part(folder: Path, classes: list[str], part: str | None) -> Iterator[Photo]:
    for label, name in enumerate(classes):
        for path in sorted(files(folder / name)):
            yield Photo(path, label, part)


def read(folder: Path, size: tuple[int, int], resize: contract.Resize = "crop") -> Dataset:
    """Read all photos of a folder at `size` (height, width); what cannot be read is in `rejected`, with the reason.

    The pixels are in a file that has no name and is gone when the process is. Raises DataError; also
    for a class name that model.json could not hold.
    """
    classes, photos = find(folder)
    if odd := [name for name in classes if not (name.strip() and name.isprintable())]:
        raise DataError(f"The folder name {odd[0]!r} in {folder} holds what cannot be shown; please rename it.")
    shape = (max(1, len(photos)), *size, 3)
    with TemporaryFile() as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=shape)

    def read_one(row: int) -> str | Rejected:
        path = photos[row].path
        try:
            data = content(path)
            pixels[row] = fit.to_pixels(decode.read(data, size, resize), size, resize)
        except ClassifierError as error:
            return Rejected(path, str(error))
        return hashlib.sha256(data).hexdigest()

    outcomes = in_threads(read_one, range(len(photos)), "Reading photos")
    rows = [row for row, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    digests = [outcome for outcome in outcomes if isinstance(outcome, str)]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    return Dataset(folder, classes, [photos[row] for row in rows], digests, rejected, np.array(rows, int), pixels)
