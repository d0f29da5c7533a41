"""Fill a model from a weights file, or say in one line why that cannot be."""

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
from classifier.text import one_line

INITIALIZERS = ("glorot_uniform", "VarianceScaling", "he_normal")  # that keras.applications names
Shapes = Counter[tuple[int, ...]]

WAYS_OUT = (
    "Ways out: let this machine reach the internet once and use the weights imagenet; or name a file that fits; "
    "or try it with random, whose answers mean nothing (CLASSIFIER_WEIGHTS for the site, --weights for training)."
)


@keras.saving.register_keras_serializable("classifier")
class Unset(keras.initializers.Initializer):  # type: ignore[misc]  # Keras is untyped
    """Zeros instead of random numbers, whatever was to be drawn."""

    def __init__(self, **_: Any) -> None:
        """Takes the arguments of any initializer."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        return keras.ops.zeros(shape, dtype)


@contextmanager
def unset() -> Iterator[None]:
    """Models built here start from zeros, to be filled. Drawing numbers takes memory that TensorFlow's allocator
    for oneDNN never gives back: VGG16 would stay at 2.0 GB instead of 1.6 GB, for 0.55 GB of weights."""
    with keras.utils.custom_object_scope(dict.fromkeys(INITIALIZERS, Unset)):
        yield


def randomise(model: keras.Model, seed: int) -> None:
    """Draw all kernels anew, the same at every start and on every backend, scaled by He for what flows in."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            values = generator.random(variable.shape, dtype=np.float32)  # 0 to 1: variance 1/12
            values -= 0.5
            values *= np.sqrt(12 * 2 / np.prod(variable.shape[:-1]))
            variable.assign(values)


def load(model: keras.Model, path: Path) -> None:
    """Load `path`, a Keras 3 `.weights.h5` or a legacy `.h5` of the same architecture, into `model`.

    Raises StartupError that says what was expected and what was found.
    """
    expected = Counter(tuple(w.shape) for w in model.weights if "float" in w.dtype)
    wanted = f"the weights of {model.name} with {model.output_shape[-1]} classes"
    try:
        found = shapes_in(path)
    except Exception as exc:  # h5py raises OSError, RuntimeError, KeyError, ... by where the damage is
        raise unusable(path, wanted, f"no readable HDF5 file ({one_line(exc)})") from exc
    if not is_as_summed(path):
        raise unusable(path, wanted, f"another checksum than {path.name}.sha256 tells")
    if found != expected:
        raise unusable(path, f"{wanted} ({describe(expected - found)})", describe(found - expected))
    try:
        model.load_weights(path)
    except Exception as exc:  # Keras raises ValueError, KeyError, OSError, ... by format and fault
        raise unusable(path, wanted, f"a file that Keras cannot load ({one_line(exc)})") from exc


def is_as_summed(path: Path) -> bool:
    """Whether a file has the checksum in `<path>.sha256`, if there is one: HDF5 notices no flipped byte by itself."""
    told = path.with_name(path.name + ".sha256")
    if not told.exists():
        return True
    with path.open("rb") as file:
        return told.read_text().split()[:1] == [hashlib.file_digest(file, "sha256").hexdigest()]


def shapes_in(path: Path) -> Shapes:
    """The shapes of all floating-point arrays of an HDF5 file, an optimizer's aside.

    Raises whatever h5py does for a file that is missing, damaged or of another kind.
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
    """A few of the shapes in words: "3 arrays that do not match, such as (4096, 1000), (1000)"."""
    if not shapes:
        return "none besides"
    examples = ", ".join(str(shape).replace(",)", ")") for shape in sorted(shapes, key=np.prod, reverse=True)[:2])
    return f"{shapes.total()} arrays that do not match, such as {examples}"


def unusable(path: Path, expected: str, found: str) -> StartupError:
    return StartupError(f"The weights {path} cannot be used: expected {expected}, found {found}. {WAYS_OUT}")
