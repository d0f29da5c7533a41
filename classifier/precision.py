"""What a model computes in. Reduced precision halves the weights in memory and, where the hardware has it, the time."""

import keras

from classifier import backend

FLOAT32 = ("images", "probabilities")  # layers that stay as they are: the uint8 input and the final softmax


def resolve(precision: str) -> str:
    """`auto` is float16 on a GPU and float32 elsewhere; all else is itself."""
    if precision != "auto":
        return precision
    return "float16" if backend.device_name().startswith("GPU") else "float32"


def lowered(network: keras.Model, precision: str) -> keras.Model:
    """The same network computing in `bfloat16` or `float16`, its weights copied; `float32` gives it back as it is.

    Keras' mixed policies keep float32 weights and cast them at every call, which costs VGG16 on a CPU more than
    it gains. So weights are kept in the low precision, too, but for batch normalisation's, whose small variances
    would suffer. The final softmax is computed in float32.
    """
    if precision == "float32":
        return network

    def lower(operation: keras.Operation) -> keras.Operation:
        config = operation.get_config()
        if isinstance(operation, keras.layers.BatchNormalization | keras.layers.Normalization):
            config["dtype"] = f"mixed_{precision}"
        elif isinstance(operation, keras.layers.Layer) and operation.name not in FLOAT32:
            config["dtype"] = precision
        return type(operation).from_config(config)

    low = keras.models.clone_model(network, clone_function=lower)
    low.set_weights(network.get_weights())
    return low
