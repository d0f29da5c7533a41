"""Keras' back end: which one `import keras` will load, and its versions, found without importing any of it.

Only the standard library, because scripts/choose_backend.py imports this before anything is installed.
"""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")  # in this order, if nothing chooses between them
MATTERS = ("cuda", "jax", "keras", "nvidia", "tensorflow", "torch")  # for what a GPU computes


def chosen_file() -> Path:
    """Return where scripts/choose_backend.py notes its choice, in the environment of this Python."""
    return Path(sys.prefix, "keras-backend")


def keras_home() -> Path:
    """Return the folder where Keras keeps its configuration and downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def backend() -> str:
    """Return the back end to use: KERAS_BACKEND, the one chosen at installation, keras.json's, or an installed one.

    Keras itself writes keras.json, with TensorFlow, so what that names counts only if it is installed.
    """
    wishes = (os.environ.get("KERAS_BACKEND"), chosen(), configured())
    return next(filter(None, wishes), None) or next(filter(find_spec, BACKENDS), BACKENDS[0])


def chosen() -> str:
    """Return the back end that was chosen at installation, "" if none was."""
    path = chosen_file()
    return path.read_text("utf-8").strip() if path.exists() else ""


def configured() -> str:
    """Return the back end that keras.json names, "" if there is none, or it is not installed."""
    try:
        name = str(json.loads((keras_home() / "keras.json").read_text("utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return name if name in BACKENDS and find_spec(name) else ""


def versions() -> dict[str, str]:
    """Return the versions of the installed distributions that decide what a GPU computes, by name."""
    found = {str(each.name).lower().replace("_", "-"): each.version for each in distributions()}
    return {name: found[name] for name in sorted(found) if name.startswith(MATTERS)}


def distribution_version(name: str) -> str:
    """Return the version of a distribution, "" if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def backend_version() -> str:
    """Return the back end with its version: "jax 0.10.2"."""
    name, found = backend(), versions()
    return f"{name} {found.get(name) or found.get(f'{name}-cpu') or '(not installed)'}"
