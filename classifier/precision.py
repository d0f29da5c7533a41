"""What a model computes in. Reduced precision halves the weights in memory and, where the hardware has it, the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from classifier import backend

KEPT_IN_FLOAT32 = ("BatchNormalization", "Normalization")  # small variances would suffer


def resolve(precision: str) -> str:
    """`auto` is float16 on a GPU and float32 elsewhere; all else is itself."""
    if precision != "auto":
        return precision
    return "float16" if backend.device_name().startswith("GPU") else "float32"


@contextmanager
def default_policy(precision: str) -> Iterator[None]:
    """Layers made here are of this precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def has_float32_layers(network: keras.Model) -> bool:
    """Whether some layers keep float32 weights when the others are lowered."""
    return any(type(layer).__name__ in KEPT_IN_FLOAT32 for layer in network._flatten_layers())


def lowered(config: dict[str, Any], precision: str) -> dict[str, Any]:
    """A model's configuration, changed to compute in `bfloat16` or `float16`.

    Keras' mixed policies keep float32 weights and cast them at every call, which costs VGG16 on a CPU more than it
    gains (159 ms alone, against 84). So weights are kept in the low precision, too, but for batch normalisation's.
    """
    for layer in config["layers"]:
        if "layers" in layer["config"]:  # a model within the model
            lowered(layer["config"], precision)
        elif "dtype" in layer["config"] and layer["class_name"] != "InputLayer":
            mixed = layer["class_name"] in KEPT_IN_FLOAT32
            layer["config"]["dtype"] = f"mixed_{precision}" if mixed else precision
    return config
