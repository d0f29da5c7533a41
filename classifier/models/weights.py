"""Fill a model from a weights file or with random numbers, or explain in one line why that is impossible."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from classifier.errors import StartupError
from classifier.models import backend
from classifier.models.downloads import WAYS_OUT
from classifier.text import one_line

SEED = 0  # of random weights, so that they are the same at every start
INITIALIZERS = ("glorot_uniform", "VarianceScaling", "he_normal")  # as keras.applications names them
Shapes = Counter[tuple[int, ...]]


@keras.saving.register_keras_serializable("classifier")
class Unset(keras.initializers.Initializer):  # type: ignore[misc]  # Keras is untyped
    """An initializer that returns zeros in place of random numbers, whatever its arguments."""

    def __init__(self, **_: Any) -> None:
        """Accept the arguments of any initializer."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        return backend.unwritten_zeros(shape, keras.backend.standardize_dtype(dtype))


@contextmanager
def unset() -> Iterator[None]:
    """Build models from zeros in this context, to be filled later.

    Drawing random numbers, and even writing zeros, takes memory that TensorFlow's allocator for oneDNN never frees:
    0.4 GB each with VGG16, for 0.55 GB of weights.
    """
    with keras.utils.custom_object_scope(dict.fromkeys(INITIALIZERS, Unset)):
        yield


def randomise(model: keras.Model, seed: int = SEED) -> None:
    """Draw all kernels, the same on every backend, with He's scale for the number of inputs (arXiv:1502.01852)."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            values = generator.random(variable.shape, dtype=np.float32)  # 0 to 1: variance 1/12
            values -= 0.5
            values *= np.sqrt(12 * 2 / np.prod(variable.shape[:-1]))
            variable.assign(values)


def load(model: keras.Model, path: Path) -> None:
    """Load `path`, a Keras 3 `.weights.h5` or a legacy `.h5` of the same architecture, into `model`.

    Raises StartupError with what was expected and what was found.
    """
    expected = Counter(tuple(w.shape) for w in model.weights if "float" in w.dtype)
    wanted = f"the weights of {model.name} with {model.output_shape[-1]} classes"
    try:
        found = shapes_in(path)
    except Exception as exc:  # h5py raises OSError, RuntimeError, KeyError, ... depending on the damage
        raise unusable(path, wanted, f"no readable HDF5 file ({one_line(exc)})") from exc
    if not matches_checksum(path):
        raise unusable(path, wanted, f"a checksum other than that in {path.name}.sha256")
    if found != expected:
        raise unusable(path, f"{wanted} ({describe(expected - found)})", describe(found - expected))
    try:
        model.load_weights(path)
    except Exception as exc:  # Keras raises ValueError, KeyError, OSError, ... by format and fault
        raise unusable(path, wanted, f"a file that Keras cannot load ({one_line(exc)})") from exc


def matches_checksum(path: Path) -> bool:
    """Return False for a file that differs from the checksum in `<path>.sha256`. HDF5 detects no flipped byte."""
    checksum = path.with_name(path.name + ".sha256")
    if not checksum.exists():
        return True
    with path.open("rb") as file:
        return checksum.read_text().split()[:1] == [hashlib.file_digest(file, "sha256").hexdigest()]


def shapes_in(path: Path) -> Shapes:
    """Count the shapes of all floating-point arrays in an HDF5 file, except those of an optimizer.

    Raises h5py's own errors for a file that is missing, damaged or of another kind.
    """
    shapes: Shapes = Counter()

    def count(name: str, item: Any) -> None:
        is_weight = isinstance(item, h5py.Dataset) and np.issubdtype(item.dtype, np.floating)
        if is_weight and not name.startswith("optimizer"):
            shapes[item.shape] += 1

    with h5py.File(path) as file:
        file.visititems(count)
    return shapes


def describe(shapes: Shapes) -> str:
    """Describe some of the shapes: "3 arrays that do not match, such as (4096, 1000), (1000)"."""
    if not shapes:
        return "none besides"
    examples = ", ".join(str(shape).replace(",)", ")") for shape in sorted(shapes, key=np.prod, reverse=True)[:2])
    return f"{shapes.total()} arrays that do not match, such as {examples}"


def unusable(path: Path, expected: str, found: str) -> StartupError:
    return StartupError(f"The weights {path} cannot be used: expected {expected}, found {found}. {WAYS_OUT}")
