"""Heat maps without gradients: how much a class' score falls without each part of the last feature map.

If global average pooling and a dense layer follow the map, this is exactly Grad-CAM (`gradcam`).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from classifier.errors import NotExplainable
from classifier.models import openvino_runtime

openvino = openvino_runtime.imported()
ops = openvino.opset13
# OpenVINO's classes, which have no types.
Input: TypeAlias = Any
Model: TypeAlias = Any
Node: TypeAlias = Any
Output: TypeAlias = Any

Run = Callable[[np.ndarray], np.ndarray]

CONVOLUTIONS = ("Convolution", "GroupConvolution")  # their channels are at axis 1
LARGEST = 2**24  # numbers in all copies of a map together: 64 MiB of float32
NOISE = 1e-5  # of a score: a smaller change is rounding


class Occlusion:
    """Heat maps for one network, uint8 (n, h, w, 3) -> probabilities (n, classes).

    `compile` turns a network into a function of arrays. Raises NotExplainable for a network without a feature map, or
    with more than pooling and dense layers after it.
    """

    def __init__(self, network: Model, compile: Callable[[Model], Run]) -> None:
        occluded, self._grid = occluding(network)
        self._scores = compile(occluded)

    def __call__(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return how much each part of a picture speaks for a class: float32 (rows, columns) from 0 to 1.

        `image` is uint8 (h, w, 3). The map is all zero if no part speaks for the class.
        """
        scores = self._scores(image[np.newaxis])[:, index].astype(np.float32)
        heat: np.ndarray = (scores[0] - scores[1:]).reshape(self._grid)
        heat[heat <= NOISE * abs(scores[0])] = 0
        return heat / heat.max() if heat.any() else heat


def occluding(network: Model) -> tuple[Model, tuple[int, int]]:
    """Return a network that answers for one picture as a whole and without each part of its last feature map.

    It gives scores (1 + rows x columns, classes); the second value is (rows, columns). Raises NotExplainable.
    """
    network = network.clone()
    features, channels = last_feature_map(network)
    scores, users = score(network), features.get_target_inputs()
    check_head(scores, features, users)
    pooling = [user.get_node() for user in users if is_mean(user.get_node(), channels)]
    if len(pooling) == len(users):
        grid = without_each_position(features, channels, pooling)
    else:
        grid = without_each_cell(features, channels, users)
    occluded = openvino.Model([scores], network.get_parameters())
    occluded.reshape([1, *network.input(0).get_partial_shape()[1:]])
    return occluded, grid


def last_feature_map(network: Model) -> tuple[Output, int]:
    """Return the last output that has height and width and depends on a convolution, and the axis of its channels.

    Raises NotExplainable.
    """
    channels: dict[str, int] = {}
    found = None
    for operation in network.get_ordered_ops():
        axis = channel_axis(operation, channels)
        if axis is None:
            continue
        channels[operation.get_name()] = axis
        if math.prod(sides(operation.output(0), axis)) > 1:
            found = operation.output(0), axis
    if found is None:
        raise no_map()
    return found


def channel_axis(operation: Node, channels: dict[str, int]) -> int | None:
    """Return the axis of an output's channels, given those of the operations before it; None if it is no map."""
    inputs = [channels.get(value.get_node().get_name()) for value in operation.input_values()]
    known = next((axis for axis in inputs if axis is not None), None)
    kind = operation.get_type_name()
    if kind == "Result" or operation.get_output_partial_shape(0).rank != 4:
        return None
    if kind in CONVOLUTIONS:
        return 1
    if known is None or kind == "Reshape":
        return None
    if kind == "Transpose":
        order = values(operation.input_value(1))
        return order.index(known) if order else None
    return known


def spatial(channels: int) -> list[int]:
    """Return the axes of height and width of a map (n, ...) with its channels at this axis."""
    return [axis for axis in (1, 2, 3) if axis != channels]


def sides(features: Output, channels: int) -> tuple[int, int]:
    """Return (height, width) of a map; zeros if they are not fixed."""
    shape = features.get_partial_shape()
    height, width = (0 if shape[axis].is_dynamic else shape[axis].get_length() for axis in spatial(channels))
    return height, width


def values(output: Output) -> list[int]:
    """Return the integers of a constant; none of what is computed."""
    node = output.get_node()
    return [int(value) for value in node.get_data()] if node.get_type_name() == "Constant" else []


def score(network: Model) -> Output:
    """Return the logits if available, otherwise the log of the probabilities."""
    probabilities = network.output(0).get_node().input_value(0)
    if probabilities.get_node().get_type_name() == "Softmax":
        return probabilities.get_node().input_value(0)
    return ops.log(ops.add(probabilities, np.float32(1e-7))).output(0)


def check_head(scores: Output, features: Output, users: Iterable[Input]) -> None:
    """Raise NotExplainable if part of the graph bypasses the map, or if more than dense layers would run per part."""
    stand_in = ops.parameter(features.get_partial_shape(), features.get_element_type())
    connect(users, stand_in)
    try:
        head = openvino.Model([scores], [stand_in])
    except RuntimeError as exc:
        raise no_map() from exc
    products = [node.output(0) for node in head.get_ops() if node.get_type_name() == "MatMul"]
    if any(product.get_partial_shape().rank != 2 for product in products):
        raise no_map()
    connect(users, features.get_node())


def connect(users: Iterable[Input], source: Node) -> None:
    for user in users:
        user.replace_source_output(source.output(0))


def is_mean(operation: Node, channels: int) -> bool:
    """Return True for global average pooling."""
    is_reduction = operation.get_type_name() == "ReduceMean"
    return is_reduction and sorted(axis % 4 for axis in values(operation.input_value(1))) == spatial(channels)


def without_each_position(features: Output, channels: int, pooling: Iterable[Node]) -> tuple[int, int]:
    """Replace the mean of a map by itself and the means without each position; return the map's (rows, columns).

    A position is a term of the mean, so nothing before the mean is computed more than once.
    """
    rows, columns = sides(features, channels)
    count = features.get_partial_shape()[channels].get_length()
    positions = ops.transpose(features, np.array([0, *spatial(channels), channels]))
    positions = ops.reshape(positions, np.array([rows * columns, count]), special_zero=False)
    mean = ops.reduce_mean(positions, np.array([0]), keep_dims=True)
    without = ops.subtract(mean, ops.divide(positions, np.float32(rows * columns)))
    means = ops.concat([mean, without], axis=0)
    for node in pooling:
        kept = [-1, *(count if axis == channels else 1 for axis in (1, 2, 3))]
        shape = kept if node.get_attributes()["keep_dims"] else [-1, count]
        node.output(0).replace(ops.reshape(means, np.array(shape), special_zero=False).output(0))
    return rows, columns


def without_each_cell(features: Output, channels: int, users: Iterable[Input]) -> tuple[int, int]:
    """Replace a map by itself and a copy without each cell of a grid; return the grid's (rows, columns).

    A cell is a single position unless the copies would be larger than LARGEST.
    """
    height, width = sides(features, channels)
    size = math.prod(side.get_length() for side in features.get_partial_shape()[1:])
    scale = min(1.0, math.sqrt(LARGEST / size / (height * width)))
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    masks = np.expand_dims(cell_masks((height, width), (rows, columns)), channels)
    connect(users, ops.multiply(features, masks))
    return rows, columns


def cell_masks(shape: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """Return float32 (1 + rows x columns, height, width): ones, and in all but the first a cell of zeros."""
    row, column = (np.arange(side) * cells // side for side, cells in zip(shape, grid, strict=True))
    cell = row[:, np.newaxis] * grid[1] + column
    numbers = np.arange(-1, math.prod(grid))
    masks: np.ndarray = (cell != numbers[:, np.newaxis, np.newaxis]).astype(np.float32)
    return masks


def no_map() -> NotExplainable:
    return NotExplainable("This model has no feature map, so it cannot show where it looked.")
