"""Every network that can be trained: each recipe is one short function.

A recipe maps float pixels (n, h, w, c), 0 to 255, to logits (n, classes). Each becomes a network that takes uint8 RGB
(n, h, w, 3), as the serving engine provides it; rescaling and conversion to greyscale are part of the graph. Its last
feature map has the name FEATURES_LAYER.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from classifier.errors import StartupError
from classifier.models.network_features import FEATURES_LAYER
from classifier.training.options import Augmentation, RecipeName

Tensor = Any  # a symbolic Keras tensor


def small(pixels: Tensor, classes: int) -> Tensor:
    """Build the network of TensorFlow's flowers tutorial: three convolutions at decreasing resolution."""
    x = layers.Rescaling(1 / 255)(pixels)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(name=FEATURES_LAYER if filters == 64 else None)(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return layers.Dense(classes)(x)


def dropout(pixels: Tensor, classes: int) -> Tensor:
    """Build the network of the chest X-ray tutorial: large filters, and dropout against overfitting."""
    x = layers.Rescaling(1 / 255)(pixels)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(name=FEATURES_LAYER if filters == 64 else None)(x)
        x = layers.Dropout(0.2)(x)
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return layers.Dense(classes)(x)


def gray(pixels: Tensor, classes: int) -> Tensor:
    """Build the network of the cats-and-dogs tutorial, for greyscale: three equal convolutions with dropout."""
    x = layers.Rescaling(1 / 255)(pixels)
    for number in (1, 2, 3):
        x = layers.Conv2D(64, 3, activation="relu")(x)
        x = layers.MaxPooling2D(name=FEATURES_LAYER if number == 3 else None)(x)
        x = layers.Dropout(0.2)(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return layers.Dense(classes)(x)


@dataclass(frozen=True)
class Recipe:
    """A recipe from scratch with the picture size (height and width) and the colours it was designed for."""

    layers: Callable[[Tensor, int], Tensor]
    side: int
    grayscale: bool = False


FROM_SCRATCH: dict[RecipeName, Recipe] = {
    "small": Recipe(small, 180),
    "dropout": Recipe(dropout, 200),
    "gray": Recipe(gray, 100, grayscale=True),
}

AUGMENTATIONS: dict[Augmentation, Callable[[int], keras.layers.Layer]] = {
    "flip": lambda seed: layers.RandomFlip("horizontal", seed=seed),
    "zoom": lambda seed: layers.RandomZoom(0.1, seed=seed),
    "rotate": lambda seed: layers.RandomRotation(0.05, seed=seed),
    "contrast": lambda seed: layers.RandomContrast(0.2, value_range=(0, 255), seed=seed),
}


def from_scratch(name: RecipeName, side: int, grayscale: bool, classes: int) -> keras.Model:
    """Build the untrained network of a recipe: uint8 (n, side, side, 3) -> logits (n, classes). Raises StartupError."""
    images, pixels = inputs(side, grayscale)
    with large_enough(side, name):
        return keras.Model(images, FROM_SCRATCH[name].layers(pixels, classes))


@contextmanager
def large_enough(side: int, name: str) -> Iterator[None]:
    """Raise StartupError if the layers built here shrink the picture to nothing (a ValueError in Keras)."""
    try:
        yield
    except ValueError as exc:
        if "zero or negative" not in str(exc):
            raise
        raise StartupError(
            f"Pictures of {side} x {side} pixels are too small for {name}; please choose a larger --image-size."
        ) from exc


def inputs(side: int, grayscale: bool) -> tuple[Tensor, Tensor]:
    """Return the network's input, uint8 RGB, and the float pixels for a recipe, of one channel if `grayscale`."""
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    pixels = keras.ops.cast(images, "float32")
    return images, keras.ops.image.rgb_to_grayscale(pixels) if grayscale else pixels
