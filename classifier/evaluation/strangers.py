"""Photos of none of a model's classes: how familiar they look to it."""

from functools import partial
from pathlib import Path

import numpy as np

from classifier.contract import ServedModel
from classifier.errors import DataError
from classifier.photos import decode, files

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
    read_one = partial(decode.read_pixels, size=model.info.size, resize=model.info.resize)
    pixels = files.read_all(read_one, paths, "Reading strangers")
    return [own.familiarity for own in model.compare(np.stack(pixels))[1]] if pixels else []
