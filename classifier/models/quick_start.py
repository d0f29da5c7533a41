"""Imports Keras and its backend in about half the time, which is most of what a start takes."""

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from classifier import installed
from classifier.errors import StartupError

# Keras and TensorFlow import these if they are installed, for functions that nobody calls here.
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")


def import_keras() -> None:
    """Import Keras and its backend for the first time; must precede every other import of Keras to be of use.

    Raises StartupError in a light installation, which has no back end.
    """
    require_backend()
    if "keras" not in sys.modules:
        with hidden({*UNUSED} - {installed.backend()}), collector_paused():
            import keras  # noqa: F401


def require_backend() -> None:
    """Raise StartupError unless a back end of Keras is installed."""
    if not find_spec(installed.backend()):
        raise StartupError(
            f"Keras' back end {installed.backend()} is not installed, so this installation can only serve compiled "
            "folders (docs/compile.md), and cannot load, compile, train or import other models; "
            "`make install BACKEND=cpu` installs TensorFlow."
        )


@contextmanager
def hidden(names: Iterable[str]) -> Iterator[None]:
    """Let packages that are not imported yet look as if they were not installed."""
    absent = dict.fromkeys(name for name in names if name not in sys.modules)
    sys.modules.update(absent)  # type: ignore[arg-type]  # None is how Python marks a module that must not be found
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect no garbage, and never look for it later in what was created meanwhile: here, modules that stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
