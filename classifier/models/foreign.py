"""What imports from Keras and from ONNX have in common: the scale of the pixels, and what the outputs must be.

A scale is arithmetic on pixels from 0 to 255 that works on tensors of Keras and of OpenVINO.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.errors import StartupError

Preprocessing = Callable[[Any], Any]

# The range of pixels that a model was trained on.
SCALES: dict[str, Preprocessing] = {
    "0..255": lambda pixels: pixels,
    "0..1": lambda pixels: pixels / array(255),
    "-1..1": lambda pixels: pixels / array(127.5) - array(1),
}


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


class Normalisation(NamedTuple):
    """The mean and the standard deviation, for each channel or for all, of pixels from 0 to 1.

    It is applied as torchvision's `Normalize` after `ToTensor`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: Any) -> Any:
        """Return (pixels / 255 - mean) / std for pixels (n, h, w, channels)."""
        return (pixels / array(255) - array(*self.mean)) / array(*self.std)

    @property
    def channels(self) -> int:
        return max(map(len, self))


Scale = str | Normalisation


def given_scale(scale: str | None, mean: str | None, std: str | None) -> Scale | None:
    """Return the scale that the options of a command give; None if they give none. Raises StartupError."""
    if mean is None and std is None:
        return scale
    if mean is None or std is None or scale is not None:
        raise StartupError("Expected --mean with --std, or --scale without both.")
    return Normalisation(numbers("--mean", mean), numbers("--std", std))


def found_scale(scale: Scale, channels: int) -> Preprocessing:
    """Return the function for a normalisation or for one of SCALES. Raises StartupError."""
    if isinstance(scale, str):
        return SCALES[scale]
    if scale.channels > channels:
        raise StartupError(f"--mean and --std must be one number each for {channels} channel, not {scale.channels}.")
    return scale.apply


def described(scale: Scale) -> str | dict[str, tuple[float, ...]]:
    """Return a scale for a model's card."""
    return scale if isinstance(scale, str) else scale._asdict()


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Return one number or three, which are separated by commas. Raises StartupError."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    least = 0 if option == "--mean" else math.nextafter(0, 1)
    if len(found) not in (1, 3) or not all(least <= value <= 1 for value in found):
        raise StartupError(
            f"{option} must be one number or three, separated by commas, each from 0 to 1 (those of pixels from 0 to "
            f"255, divided by 255), not {text!r:.80}."
        )
    return found


def are_probabilities(scores: np.ndarray) -> bool:
    """Return True if every row of (n, classes) could be probabilities: nothing negative, and a sum of 1."""
    add_up = np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    return bool(np.isfinite(scores).all() and (scores >= 0).all() and add_up)


def misfit(source: Path, expected: str, found: str) -> StartupError:
    return StartupError(f"The model {source} cannot be imported: expected {expected}, found {found}.")
