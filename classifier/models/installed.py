"""Which back end Keras will use, and its versions, found without importing any of it."""

import json
import os
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

MATTERS = ("cuda", "jax", "keras", "nvidia", "tensorflow", "torch")  # for what a GPU computes


def keras_home() -> Path:
    """Return the folder where Keras keeps its configuration and downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def backend() -> str:
    """Return the name of the back end that `import keras` will load, as Keras itself determines it."""
    return os.environ.get("KERAS_BACKEND") or configured_backend() or "tensorflow"


def configured_backend() -> str:
    """Return the back end that keras.json names, "" if there is none."""
    try:
        return str(json.loads((keras_home() / "keras.json").read_text("utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def versions() -> dict[str, str]:
    """Return the versions of the installed distributions that decide what a GPU computes, by name."""
    found = {str(each.name).lower(): each.version for each in distributions()}
    return {name: found[name] for name in sorted(found) if name.startswith(MATTERS)}


def backend_version() -> str:
    """Return the back end with its version: "jax 0.10.2"."""
    name, found = backend(), versions()
    return f"{name} {found.get(name) or found.get(f'{name}-cpu') or '(not installed)'}"


def is_installed(module: str) -> bool:
    return find_spec(module) is not None
