"""Photos to calibrate a compiled model with, and others to compare it on, read exactly as serving reads photos."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from classifier.contract import ModelInfo
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode, files, fit
from classifier.photos.files import Rejected

log = logging.getLogger(__name__)

CALIBRATION, COMPARED = 300, 300  # photos at most
LEAST_CALIBRATION, LEAST_COMPARED = 64, 16
SEED = 0  # of the choice


class Pixels(NamedTuple):
    """A photo as the model sees it, uint8 (h, w, 3), and the SHA-256 of its file."""

    digest: str
    pixels: np.ndarray


class Sample(NamedTuple):
    """Photos for two purposes, of which none serves both, uint8 (n, h, w, 3)."""

    calibration: np.ndarray
    compared: np.ndarray
    digests: frozenset[str]  # of the calibration


def take(folder: Path, info: ModelInfo, calibrates: bool, parts: Mapping[str, str]) -> Sample:
    """Choose photos below a folder for a model, by chance but the same every time.

    Those that `parts` (by digest) assigns to the training calibrate, as far as there are enough; the others compare.
    Raises DataError if there are too few.
    """
    found = files.find([folder])
    order = np.random.default_rng(SEED).permutation(len(found))[: CALIBRATION + COMPARED]
    photos = read([found[i] for i in order], info)
    photos.sort(key=lambda photo: parts.get(photo.digest) != "train")  # stable
    share = calibration_share(folder, len(photos), calibrates)
    pixels = np.stack([photo.pixels for photo in photos])
    digests = frozenset(photo.digest for photo in photos[:share])
    return Sample(pixels[:share], pixels[share:][-COMPARED:], digests)


def read(paths: list[Path], info: ModelInfo) -> list[Pixels]:
    """Read photos, without exact copies; those that cannot be read are logged and left out."""

    def read_one(path: Path) -> Pixels | Rejected:
        try:
            data = files.read(path)
            image = decode.read(data, info.size, info.resize)
            return Pixels(hashlib.sha256(data).hexdigest(), fit.to_pixels(image, info.size, info.resize))
        except ClassifierError as error:
            return Rejected(path, str(error))

    outcomes = files.in_threads(read_one, paths, "Reading photos")
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            log.warning("Left out: %s: %s", *outcome)
    return list({outcome.digest: outcome for outcome in outcomes if isinstance(outcome, Pixels)}.values())


def calibration_share(folder: Path, count: int, calibrates: bool) -> int:
    """Return how many of `count` photos calibrate: three quarters, within bounds. Raises DataError for too few."""
    least = LEAST_COMPARED + (LEAST_CALIBRATION if calibrates else 0)
    if count < least:
        purposes = f"{LEAST_CALIBRATION} to calibrate with and " if calibrates else ""
        raise DataError(
            f"{folder} has too few photos: expected at least {least} different ones ({purposes}{LEAST_COMPARED} to "
            f"compare on), found {count}; please choose another folder with --photos."
        )
    return min(CALIBRATION, max(LEAST_CALIBRATION, count * 3 // 4)) if calibrates else 0
