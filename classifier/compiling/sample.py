"""Photos to calibrate a compiled model with, and others to compare it on, read exactly as serving reads photos."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from classifier.contract import ModelInfo
from classifier.errors import DataError
from classifier.photos import decode, files

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

    def read_one(data: bytes) -> Pixels:
        return Pixels(hashlib.sha256(data).hexdigest(), decode.read_pixels(data, info.size, info.resize))

    photos = files.read_all(read_one, paths, "Reading photos")
    return list({photo.digest: photo for photo in photos}.values())


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
