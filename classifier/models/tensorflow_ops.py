"""The TensorFlow functions that Keras 2 saved as layers (`TFOpLambda`), as functions of `keras.ops`.

Source of their names and parameters: https://www.tensorflow.org/versions/r2.15/api_docs/python/tf.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

TWO_ARGUMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "math.add": ops.add,
    "math.subtract": ops.subtract,
    "math.multiply": ops.multiply,
    "math.truediv": ops.true_divide,
    "math.maximum": ops.maximum,
    "math.minimum": ops.minimum,
    "math.pow": ops.power,
    "math.floordiv": ops.floor_divide,
}
ONE_ARGUMENT: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "convert_to_tensor": lambda x: x,
    "math.negative": ops.negative,
    "math.abs": ops.absolute,
    "math.exp": ops.exp,
    "math.log": ops.log,
    "math.sqrt": ops.sqrt,
    "math.rsqrt": ops.rsqrt,
    "math.square": ops.square,
    "math.sigmoid": ops.sigmoid,
    "math.tanh": ops.tanh,
    "math.softplus": ops.softplus,
    "nn.relu": ops.relu,
    "nn.relu6": ops.relu6,
    "nn.elu": ops.elu,
    "nn.selu": ops.selu,
    "image.rgb_to_grayscale": ops.image.rgb_to_grayscale,
}
REDUCTIONS = {
    "math.reduce_mean": ops.mean,
    "math.reduce_sum": ops.sum,
    "math.reduce_max": ops.max,
    "math.reduce_min": ops.min,
}


def number(value: Any) -> Any:
    """Return an array for a list of numbers, such as the means of three colours."""
    return np.array(value, np.float32) if isinstance(value, list) else value


def one_argument(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: function(x)


def two_arguments(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda x, y: function(number(x), number(y))


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(input_tensor: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(input_tensor, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)

    return reduced


def bias_add(value: Any, bias: Any, data_format: str | None = None) -> Any:
    if data_format not in (None, "NHWC", "N...C"):
        raise ValueError(f"nn.bias_add with data_format {data_format}")
    return ops.add(value, number(bias))


def cast(x: Any, dtype: Any) -> Any:
    """Return `x` unless it would be rounded: rebuilt networks compute in float32 throughout."""
    if not str(dtype).startswith(("float", "bfloat")):
        raise ValueError(f"cast to {dtype}")
    return x


def resize(images: Any, size: Any, method: str = "bilinear", antialias: bool = False) -> Any:
    if method not in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"):
        raise ValueError(f"image.resize with method {method}")
    return ops.image.resize(images, size, interpolation=method, antialias=antialias)


def slices(tensor: Any, slice_spec: Any) -> Any:
    return tensor[tuple(slice_spec) if isinstance(slice_spec, list) else slice_spec]


def standardized(image: Any) -> Any:
    axes = (-3, -2, -1)
    count = math.prod(image.shape[-3:])
    deviation = ops.maximum(ops.std(image, axis=axes, keepdims=True), 1 / math.sqrt(count))
    return (image - ops.mean(image, axis=axes, keepdims=True)) / deviation


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: float = 0) -> Any:
    constant = {"constant_values": constant_values} if mode.upper() == "CONSTANT" else {}
    return ops.pad(tensor, paddings, mode=mode.lower(), **constant)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: two_arguments(function) for name, function in TWO_ARGUMENTS.items()},
    **{name: one_argument(function) for name, function in ONE_ARGUMENT.items()},
    **{name: reduction(function) for name, function in REDUCTIONS.items()},
    "__operators__.getitem": slices,
    "nn.bias_add": bias_add,
    "nn.softmax": lambda logits, axis=-1: ops.softmax(logits, axis=axis),
    "nn.silu": lambda features, beta=1.0: features * ops.sigmoid(beta * features),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate=approximate),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=alpha),
    "cast": cast,
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(t, clip_value_min, clip_value_max),
    "concat": lambda values, axis: ops.concatenate(values, axis=axis),
    "stack": lambda values, axis=0: ops.stack(values, axis=axis),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "squeeze": lambda input, axis=None: ops.squeeze(input, tuple(axis) if isinstance(axis, list) else axis),
    "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
    "transpose": lambda a, perm=None, conjugate=False: ops.transpose(a, perm),
    "reverse": lambda tensor, axis: ops.flip(tensor, axis=tuple(axis)),
    "pad": pad,
    "image.resize": resize,
    "image.grayscale_to_rgb": lambda images: ops.repeat(images, 3, axis=-1),
    "math.add_n": lambda inputs: keras.layers.add(inputs),
    "image.per_image_standardization": standardized,
    "math.l2_normalize": lambda x, axis=None, epsilon=1e-12: (
        x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), epsilon))
    ),
}
SYNONYMS = {
    "__operators__.add": "math.add",
    "math.divide": "math.truediv",
    "compat.v1.transpose": "transpose",
    "compat.v1.concat": "concat",
    "nn.sigmoid": "math.sigmoid",
    "nn.tanh": "math.tanh",
    "nn.swish": "nn.silu",
    "nn.softplus": "math.softplus",
    "sigmoid": "math.sigmoid",
}


# The operations of a graph, which TensorFlow 2.0 to 2.3 saved in place of the functions.
GRAPH_OPERATIONS = {
    "Abs": "math.abs",
    "Add": "math.add",
    "AddV2": "math.add",
    "BiasAdd": "nn.bias_add",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Mul": "math.multiply",
    "Neg": "math.negative",
    "Pow": "math.pow",
    "RealDiv": "math.truediv",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Rsqrt": "math.rsqrt",
    "Sigmoid": "math.sigmoid",
    "Softmax": "nn.softmax",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "Sub": "math.subtract",
    "Tanh": "math.tanh",
}


def of_layer(config: dict[str, Any]) -> tuple[str, dict[int, Any]]:
    """Return the function that a layer calls, and the constants among its arguments by their positions."""
    if "node_def" not in config:
        return str(config["function"]), {}
    operation = str(json.loads(config["node_def"])["op"])
    constants = {int(place): value for place, value in config.get("constants", {}).items()}
    return GRAPH_OPERATIONS.get(operation, f"raw_ops.{operation}"), constants


def is_known(function: str) -> bool:
    return SYNONYMS.get(function, function) in FUNCTIONS


def call(function: str, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Apply the TensorFlow function `function`, such as `math.truediv`, to symbolic tensors.

    Raises KeyError for a function that is not known here, and TypeError or ValueError for options that are not.
    """
    options = {key: value for key, value in options.items() if key != "name"}
    return FUNCTIONS[SYNONYMS.get(function, function)](*arguments, **options)
