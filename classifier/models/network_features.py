"""The features of a network: what its layer named FEATURES gives."""

from typing import Any

import keras

FEATURES_LAYER = "features"


def has_features(network: keras.Model) -> bool:
    return any(layer.name == FEATURES_LAYER for layer in network.layers)


def features_of(network: keras.Model) -> Any:
    """Return the tensor of the features, float32 (n, channels).

    Of a feature map, these are the mean, the standard deviation and the maximum of every channel over the picture.
    """
    found = keras.ops.cast(network.get_layer(FEATURES_LAYER).output, "float32")
    if len(found.shape) == 2:
        return found
    pooled = [pool(found, axis=(1, 2)) for pool in (keras.ops.mean, keras.ops.std, keras.ops.max)]
    return keras.ops.concatenate(pooled, axis=-1)


def extractor(network: keras.Model) -> keras.Model:
    """Return the part of a network that gives the features: uint8 (n, h, w, 3) -> float32 (n, channels)."""
    return keras.Model(network.input, features_of(network))


def beside_features(network: keras.Model) -> keras.Model:
    """Return a network of two outputs: the probabilities, float32 (n, classes), and the features, (n, channels)."""
    return keras.Model(network.input, [network.output, features_of(network)])


def with_features(network: keras.Model) -> keras.Model:
    """Return a network whose output has the features after the probabilities: float32 (n, classes + channels).

    One array, because every back end compiles a network with one output.
    """
    probabilities = keras.ops.cast(network.output, "float32")
    return keras.Model(network.input, keras.ops.concatenate([probabilities, features_of(network)], axis=-1))
