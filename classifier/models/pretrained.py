"""keras.applications and EfficientNet-Lite by name: builder, preprocessing, input size and ImageNet weights."""

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import keras
from keras.src.utils import file_utils

from classifier.errors import NotDownloaded, StartupError
from classifier.models import downloads, efficientnet_lite
from classifier.models.downloads import WAYS_OUT, RemoteFile
from classifier.text import one_line

Builder = Callable[..., keras.Model]
Fetch = Callable[[RemoteFile], None]


def plain(name: str) -> str:
    return name.replace("_", "").lower()


# Height and width of the models whose input is not 224 x 224 (https://keras.io/api/applications/).
INPUT_SIDES = {
    "xception": 299,
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "nasnetlarge": 331,
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
    **{plain(name): variant.side for name, variant in efficientnet_lite.VARIANTS.items()},
}


def find_builder(name: str) -> Builder:
    """Return the function that builds the model `name`; underscores and case do not matter.

    Raises StartupError, which lists close matches.
    """
    known = {**vars(keras.applications), **efficientnet_lite.BUILDERS}
    builders: dict[str, Builder] = {plain(key): value for key, value in known.items() if callable(value)}
    if plain(name) in builders:
        return builders[plain(name)]
    close = get_close_matches(plain(name), builders, cutoff=0.5) or ["vgg16", "mobilenetv2", "resnet50"]
    raise StartupError(
        f"The model {name!r} cannot be used: expected CLASSIFIER_MODEL to name a keras.applications or "
        f"EfficientNet-Lite classifier such as {', '.join(close)}, found no such name."
    )


def find_preprocessing(builder: Builder) -> Callable[[Any], Any]:
    """Return the model's own `preprocess_input`, which stands in the same module as its builder."""
    return sys.modules[builder.__module__].preprocess_input  # type: ignore[no-any-return]


def input_side(name: str) -> int:
    """Return the height and width, in pixels, that the model was trained for."""
    return INPUT_SIDES.get(plain(name), 224)


def download(name: str, builder: Builder, arguments: dict[str, object], fetch: Fetch = downloads.obtain) -> keras.Model:
    """Build a model with its ImageNet weights: those of an installed package, or a cached file, which `fetch` brings.

    Raises NotDownloaded, and StartupError if the package is missing or damaged.
    """
    if builder in efficientnet_lite.BUILDERS.values():
        return builder(weights="imagenet", **arguments)
    file = needed_file(builder, arguments)
    if not file.is_here():
        fetch(file)
    try:
        return builder(weights=str(file.path), **arguments)
    except Exception as exc:  # Keras raises ValueError, KeyError, OSError, ... for weights that do not fit
        raise NotDownloaded(
            f"The weights of {name} cannot be obtained: Keras cannot load its file ({one_line(exc)}). {WAYS_OUT}"
        ) from exc


def needed_file(builder: Builder, arguments: dict[str, object]) -> RemoteFile:
    """Return the file from which Keras would load the ImageNet weights, without loading or downloading anything."""
    with ThreadPoolExecutor(1) as thread:  # Keras remembers for each thread which variables it has not initialised
        return thread.submit(asked_file, builder, arguments).result()


def asked_file(builder: Builder, arguments: dict[str, object]) -> RemoteFile:
    """Return what a builder asks Keras' `get_file` for, which knows neither resumption nor a limit of time."""

    class Asked(Exception):
        pass

    def get_file(name: str, origin: str, cache_subdir: str, file_hash: str | None = None) -> str:
        raise Asked(RemoteFile(builder.__name__, origin, place(cache_subdir, name), file_hash or ""))

    original, file_utils.get_file = file_utils.get_file, get_file
    try:
        with keras.StatelessScope(initialize_variables=False):  # VGG16's weights would take 0.5 GB
            builder(weights="imagenet", **arguments)
    except Asked as asked:
        return cast(RemoteFile, asked.args[0])
    finally:
        file_utils.get_file = original
    raise RuntimeError(f"Keras has no ImageNet weights for {builder.__name__}.")


def place(folder: str, name: str) -> Path:
    """Return where Keras keeps a download, or would; a home that it cannot write to may hold it all the same."""
    home = Path(file_utils.config.keras_home()).expanduser()
    path = home / folder / name
    return path if path.is_file() or os.access(home, os.W_OK) else Path(tempfile.gettempdir(), ".keras", folder, name)
