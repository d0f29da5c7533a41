"""Compiled folders with a network of one layer, made with OpenVINO alone."""

from pathlib import Path
from typing import Any

import numpy as np
from support.model_folders import COLOURS

SIDE = 32


def colours_graph(hidden: int = 3, has_map: bool = False) -> Any:
    """Return a network with predictable answers: uint8 (n, 32, 32, 3) -> the softmax of the average colour.

    Two dense layers with `hidden` numbers between them pass the colour on. A convolution that changes nothing gives it
    a feature map, which heat maps need.
    """
    from classifier.models.openvino_runtime import imported

    openvino = imported()
    ops = openvino.opset15
    images = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="images")
    pixels = ops.convert(images, "f32")
    if has_map:
        same = np.eye(3, dtype=np.float32)[..., np.newaxis, np.newaxis]
        pixels = ops.convolution(ops.transpose(pixels, [0, 3, 1, 2]), same, [1, 1], [0, 0], [0, 0], [1, 1])
        pixels = ops.transpose(pixels, [0, 2, 3, 1])
    means = ops.reduce_mean(pixels, np.array([1, 2]))
    wide = ops.matmul(means, np.eye(3, hidden, dtype=np.float32) / 64, False, False)
    scores = ops.softmax(ops.matmul(wide, np.eye(hidden, 3, dtype=np.float32), False, False), 1)
    return openvino.Model([scores], [images], "colours")


def expected_colours(images: np.ndarray) -> np.ndarray:
    """Return what that network must answer, by NumPy: (n, 3)."""
    powers = np.exp(images.mean(axis=(1, 2), dtype=np.float64) / 64)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_compiled_colours(
    path: Path,
    precision: str = "float32",
    weights: str = "imagenet",
    hidden: int = 3,
    has_map: bool = False,
    **card: Any,
) -> Path:
    """Write a compiled folder that knows red, green and blue; return its path."""
    from classifier.models import compiled, folder

    path.mkdir(parents=True)
    compilation = folder.Compilation(precision=precision, source="colours", weights=weights)
    about = folder.ModelCard(**{"labels": COLOURS, "size": (SIDE, SIDE)} | card)
    compiled.write(path, colours_graph(hidden, has_map), about, compilation)
    return path
