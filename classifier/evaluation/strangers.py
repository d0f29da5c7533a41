"""Photos of none of a model's classes: how familiar they look to it."""

import logging
from pathlib import Path

import numpy as np

from classifier.contract import ServedModel
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode, files, fit
from classifier.photos.files import Rejected

log = logging.getLogger(__name__)

AT_ONCE = 64  # photos in memory


def familiarity_of(model: ServedModel, folder: Path) -> np.ndarray:
    """Return the familiarity (n,) of all photos in a folder, at any depth, for a model that compares.

    Files that cannot be read are logged and left out. Raises DataError if the model does not compare, or none is left.
    """
    if not model.info.compares:
        raise DataError(
            f"The model {model.info.name} has no features.npz to compare strangers with; please train it again."
        )
    paths = files.find([folder])
    found = [value for i in range(0, len(paths), AT_ONCE) for value in some(model, paths[i : i + AT_ONCE])]
    if not found:
        raise DataError(f"{folder} has no readable photo; expected photos of none of the model's classes.")
    return np.array(found)


def some(model: ServedModel, paths: list[Path]) -> list[float]:
    def read_one(path: Path) -> np.ndarray | Rejected:
        try:
            image = decode.read(files.read(path), model.info.size, model.info.resize)
            return fit.to_pixels(image, model.info.size, model.info.resize)
        except ClassifierError as error:
            return Rejected(path, str(error))

    outcomes = files.in_threads(read_one, paths, "Reading strangers")
    for rejected in outcomes:
        if isinstance(rejected, Rejected):
            log.warning("Left out: %s: %s", *rejected)
    pixels = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
    return [own.familiarity for own in model.compare(np.stack(pixels))[1]] if pixels else []
