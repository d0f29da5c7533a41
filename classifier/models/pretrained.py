"""keras.applications by name: the builder, its own preprocessing, its input size."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import keras

from classifier.errors import StartupError

Builder = Callable[..., keras.Model]

# Height and width of those that do not take 224 x 224 (https://keras.io/api/applications/).
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
}


def input_side(name: str) -> int:
    """The height and width that the model was trained for."""
    return INPUT_SIDES.get(plain(name), 224)


def find_preprocessing(builder: Builder) -> Callable[[Any], Any]:
    """The model's own `preprocess_input`, which lives beside its builder."""
    return sys.modules[builder.__module__].preprocess_input  # type: ignore[no-any-return]


def find_builder(name: str) -> Builder:
    """The keras.applications function for `name`; underscores and case do not matter.

    Raises StartupError that lists close matches.
    """
    builders: dict[str, Builder] = {
        plain(key): value for key, value in vars(keras.applications).items() if callable(value)
    }
    if plain(name) in builders:
        return builders[plain(name)]
    close = get_close_matches(plain(name), builders, cutoff=0.5) or ["vgg16", "mobilenetv2", "resnet50"]
    raise StartupError(
        f"The model {name!r} cannot be used: expected CLASSIFIER_MODEL to name a keras.applications classifier "
        f"such as {', '.join(close)}, found no such name."
    )


def plain(name: str) -> str:
    return name.replace("_", "").lower()
