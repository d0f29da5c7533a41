"""What a model computes in. Reduced precision halves the weights in memory and, where the hardware has it, the time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from classifier.models import backend

PROBABILITIES = "probabilities"  # the name of the last layer
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
    What gives probabilities stays in float32.
    """
    for layer in config["layers"]:
        if gives_probabilities(layer):
            continue
        if "layers" in layer["config"]:  # a model within the model
            lowered(layer["config"], precision)
        elif "dtype" in layer["config"] and layer["class_name"] != "InputLayer":
            mixed = layer["class_name"] in KEPT_IN_FLOAT32
            layer["config"]["dtype"] = f"mixed_{precision}" if mixed else precision
    return config


def gives_probabilities(layer: dict[str, Any]) -> bool:
    """Whether this is a model's last layer, ours or, with its activation inside, an imported model's."""
    config = layer["config"]
    return config.get("name") == PROBABILITIES or (
        layer["class_name"] == "Dense" and config.get("activation") in ("softmax", "sigmoid")
    )


def rebuilt(config: dict[str, Any], values: list[np.ndarray] | None, precision: str) -> keras.Model:
    """The network that a configuration describes, computing in `precision`, with its weights if they are given."""
    gc.collect()  # Keras' models are in cycles; this one is to take the memory of the one it replaces
    network = keras.Model.from_config(lowered(config, precision))
    if values:
        network.set_weights(values)
    return network


def with_softmax(network: keras.Model, name: str) -> keras.Model:
    """Logits to probabilities, in float32 whatever the network computes in."""
    probabilities = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)(network.output)
    return keras.Model(network.input, probabilities, name=name)
