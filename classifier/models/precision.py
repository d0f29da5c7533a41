"""The numeric precision of a model. Reduced precision halves its memory and, on hardware made for it, its time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from classifier.models import backend

PROBABILITIES = "probabilities"  # the name of the last layer
KEPT_IN_FLOAT32 = ("BatchNormalization", "Normalization")  # as small variances would lose their digits


def resolve(precision: str) -> str:
    """Return the precision to use: for `auto`, float16 on a GPU and float32 elsewhere; otherwise the one given."""
    if precision != "auto":
        return precision
    return "float16" if backend.device_name().startswith("GPU") else "float32"


def prepare(precision: str) -> str:
    """Prepare the back end to compute in `precision`; return what `auto` stands for.

    Must be called before the first model is built.
    """
    backend.prepare()
    resolved = resolve(precision)
    if resolved == "float32":
        backend.compute_float32_exactly()
    return resolved


@contextmanager
def default_policy(precision: str) -> Iterator[None]:
    """Make this the precision of all layers that are built in the context."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def has_float32_layers(network: keras.Model) -> bool:
    """Return True if some layers keep float32 weights when the others are lowered."""
    return any(type(layer).__name__ in KEPT_IN_FLOAT32 for layer in network._flatten_layers())


def lowered(config: dict[str, Any], precision: str) -> dict[str, Any]:
    """Change a model's configuration in place to compute in `bfloat16` or `float16`, and return it.

    Keras' mixed policies keep float32 weights and cast them at every call, which costs VGG16 on a CPU more than it
    gains (159 ms for a single photo, against 84). So the weights are in the low precision as well, except those of
    batch normalisation. The layer that computes the probabilities stays in float32.
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
    """Return True for the configuration of a last layer: our own, or an imported model's with its activation."""
    config = layer["config"]
    return config.get("name") == PROBABILITIES or (
        layer["class_name"] in ("Dense", "Activation") and config.get("activation") in ("softmax", "sigmoid")
    )


def rebuilt(config: dict[str, Any], values: list[np.ndarray] | None, precision: str) -> keras.Model:
    """Build the network of a configuration to compute in `precision`, with weights if `values` are given."""
    gc.collect()  # Keras' models are reference cycles: free the replaced one before its successor needs memory
    network = keras.Model.from_config(lowered(config, precision))
    if values:
        network.set_weights(values)
    return network


def with_softmax(network: keras.Model, name: str) -> keras.Model:
    """Append a softmax that turns logits into probabilities, in float32 whatever the network computes in."""
    probabilities = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)(network.output)
    return keras.Model(network.input, probabilities, name=name)
