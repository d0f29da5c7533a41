"""A folder with a folder of photos per class -> pixels and labels, read exactly as serving reads photos."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from classifier import contract
from classifier.dataset.groups import Groups, about_groups
from classifier.dataset.hashes import hash_of, near_copies
from classifier.dataset.layout import Photo, case_variants, find
from classifier.dataset.options import DEFAULTS, DataOptions
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode, files
from classifier.photos.files import Rejected
from classifier.text import is_class_name

log = logging.getLogger(__name__)


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
    hashes: np.ndarray  # uint64 (n, 4), the difference hash of each photo
    passed_over: list[Rejected] = field(default_factory=list)  # files and folders that were not read
    groups: Groups = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """Return the label of every photo, int (n,)."""
        return np.array([photo.label for photo in self.photos], int)

    @cached_property
    def near_copies(self) -> np.ndarray:
        """Return the group of near copies that every photo belongs to, int (n,)."""
        return near_copies(self.hashes, [photo.path for photo in self.photos])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return the pixels of some photos: uint8 (len(indices), height, width, 3)."""
        return np.asarray(self.pixels[self.rows[indices]])

    def log_rejected(self) -> None:
        """Log what was passed over and every file that is left out, with the reason, groups, and names alike."""
        files.log_passed_over(self.passed_over)
        for sentence in about_groups(self.groups):
            log.info(sentence)
        for names in case_variants(self.classes):
            log.warning("These classes differ in upper and lower case only: %s", names)
        files.log_left_out(self.rejected)

    def subset(self, indices: Iterable[int], rejected: Iterable[Rejected] = ()) -> "Dataset":
        """Return the same dataset with only some of its photos."""
        kept = list(indices)
        return replace(
            self,
            photos=[self.photos[i] for i in kept],
            digests=[self.digests[i] for i in kept],
            rejected=[*self.rejected, *rejected],
            rows=self.rows[kept],
            hashes=self.hashes[kept],
        )


def read(
    folder: Path,
    size: tuple[int, int],
    resize: contract.Resize = "crop",
    options: DataOptions = DEFAULTS,
    least: int = 2,
) -> Dataset:
    """Read all photos of a folder at `size` (height, width); unreadable files are in `rejected`, with the reason.

    The pixels are in an unnamed temporary file, which disappears with the process. Raises DataError, also for a class
    name that model.json cannot hold.
    """
    layout = find(folder, options, least)
    classes, photos = layout.classes, layout.photos
    if odd := [name for name in classes if not is_class_name(name)]:
        raise DataError(f"The folder name {odd[0]!r} in {folder} cannot be shown; please rename it.")
    shape = (max(1, len(photos)), *size, 3)
    with TemporaryFile() as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=shape)

    def read_one(row: int) -> tuple[str, bytes] | Rejected:
        path = photos[row].path
        try:
            data = files.read(path)
            pixels[row] = decode.read_pixels(data, size, resize)
            hash = hash_of(data)
        except ClassifierError as error:
            return Rejected(path, str(error))
        return hashlib.sha256(data).hexdigest(), hash

    outcomes = files.in_threads(read_one, range(len(photos)), "Reading photos")
    rows = [row for row, outcome in enumerate(outcomes) if not isinstance(outcome, Rejected)]
    looks = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
    digests = [digest for digest, _ in looks]
    hashes = np.frombuffer(b"".join(hash for _, hash in looks), np.uint64).reshape(-1, 4)
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    kept = [photos[row] for row in rows]
    return Dataset(
        folder, classes, kept, digests, rejected, np.array(rows, int), pixels, hashes, layout.passed_over, layout.groups
    )
