"""A folder with a folder of photos per class -> pixels and labels, read exactly as serving reads photos."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np

from classifier import contract
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode, files, fit
from classifier.text import is_class_name, quantity

# The part of the split that a folder of this name holds.
PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

log = logging.getLogger(__name__)


class Photo(NamedTuple):
    """A file in a class folder; `part` is train, validation or test if the data folder is divided."""

    path: Path
    label: int
    part: str | None = None


class Rejected(NamedTuple):
    """A file that is left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The readable photos with their labels (indices into `classes`) and SHA-256 digests, in the same order."""

    folder: Path
    classes: list[str]
    photos: list[Photo]
    digests: list[str]
    rejected: list[Rejected]
    rows: np.ndarray  # (n,) the place of each photo in `pixels`
    pixels: np.ndarray  # uint8 (rows, height, width, 3), memory-mapped

    @property
    def labels(self) -> np.ndarray:
        """Return the label of every photo, int (n,)."""
        return np.array([photo.label for photo in self.photos], int)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return the pixels of some photos: uint8 (len(indices), height, width, 3)."""
        return np.asarray(self.pixels[self.rows[indices]])

    def log_rejected(self) -> None:
        """Log every file that is left out, with the reason."""
        for path, reason in self.rejected:
            log.warning("Left out: %s: %s", path, reason)

    def subset(self, indices: Iterable[int], rejected: Iterable[Rejected] = ()) -> "Dataset":
        """Return the same dataset with only some of its photos."""
        kept = list(indices)
        return replace(
            self,
            photos=[self.photos[i] for i in kept],
            digests=[self.digests[i] for i in kept],
            rejected=[*self.rejected, *rejected],
            rows=self.rows[kept],
        )


def find(folder: Path) -> tuple[list[str], list[Photo]]:
    """Return the class names, sorted, and every file of every class, by path; no file is opened.

    `folder` contains a folder per class, or `train` and `test` (and `val`) folders that do.
    Raises DataError if there are fewer than two classes.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one that contains a folder of photos per class.")
    parts = parts_of(folder) or {"": folder}
    classes = sorted(set().union(*(files.subfolders(path) for path in parts.values())))
    if len(classes) < 2:
        raise DataError(
            f"{folder} contains {quantity(len(classes), 'class folder')}; expected at least two, "
            "each with photos of one class and named after it."
        )
    return classes, [photo for part, path in parts.items() for photo in in_part(path, classes, part or None)]


def parts_of(folder: Path) -> dict[str, Path]:
    """Return the parts of a divided folder, or nothing if it is not divided.

    A divided folder has train and another part, or parts only; a part contains class folders.
    Raises DataError for two folders of the same part.
    """
    paths = files.subfolders(folder)
    names = [(PART_FOLDERS.get(name.lower()) if files.subfolders(path) else None, path) for name, path in paths.items()]
    parts = {part: path for part, path in names if part}
    if len(parts) < sum(part is not None for part, _ in names):
        raise DataError(f"{folder} has two folders for the same part, such as val and validation; expected one.")
    has_only_parts = len(parts) == len(names) and {"train", "test"} & parts.keys()
    return parts if has_only_parts or ("train" in parts and len(parts) > 1) else {}


def in_part(folder: Path, classes: list[str], part: str | None) -> Iterator[Photo]:
    for label, name in enumerate(classes):
        for path in files.below(folder / name):
            yield Photo(path, label, part)


def read(folder: Path, size: tuple[int, int], resize: contract.Resize = "crop") -> Dataset:
    """Read all photos of a folder at `size` (height, width); unreadable files are in `rejected`, with the reason.

    The pixels are in an unnamed temporary file, which disappears with the process. Raises DataError, also for a class
    name that model.json cannot hold.
    """
    classes, photos = find(folder)
    if odd := [name for name in classes if not is_class_name(name)]:
        raise DataError(f"The folder name {odd[0]!r} in {folder} cannot be shown; please rename it.")
    shape = (max(1, len(photos)), *size, 3)
    with TemporaryFile() as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=shape)

    def read_one(row: int) -> str | Rejected:
        path = photos[row].path
        try:
            data = files.read(path)
            pixels[row] = fit.to_pixels(decode.read(data, size, resize), size, resize)
        except ClassifierError as error:
            return Rejected(path, str(error))
        return hashlib.sha256(data).hexdigest()

    outcomes = files.in_threads(read_one, range(len(photos)), "Reading photos")
    rows = [row for row, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    digests = [outcome for outcome in outcomes if isinstance(outcome, str)]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    return Dataset(folder, classes, [photos[row] for row in rows], digests, rejected, np.array(rows, int), pixels)
