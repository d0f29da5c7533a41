"""Why did it say that? Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): where a class was seen in a picture.

Pure: the network that is explained, its layers and weights are only read.
"""

from typing import Any

import keras
import numpy as np

from classifier.errors import NotExplainable
from classifier.models import backend
from classifier.models.precision import PROBABILITIES

POOLING = ("Pooling", "Dropout", "Flatten")  # layers of these kinds only blur or reshape the map before them


class GradCam:
    """Heat maps for one network, uint8 (1, h, w, 3) -> probabilities (1, classes).

    Raises NotExplainable for a network that has no feature map, such as one of dense layers only.
    """

    def __init__(self, network: keras.Model) -> None:
        feature_map = last_feature_map(network)
        try:
            head = keras.Model(feature_map, score(network))
        except ValueError as exc:  # part of the graph goes around the map
            raise no_map() from exc
        self._features = backend.compiled(keras.Model(network.input, feature_map))
        self._gradient = backend.gradient(head)

    def __call__(self, image: np.ndarray, index: int) -> np.ndarray:
        """uint8 (h, w, 3) and a class -> float32 (rows, columns), 0 to 1: how much each part spoke for the class.

        All zero when nothing did.
        """
        features = self._features(image[np.newaxis])  # (1, rows, columns, channels)
        gradient = self._gradient(features, index)
        weights = gradient.astype(np.float32).mean(axis=(0, 1, 2))  # of each channel
        heat: np.ndarray = np.maximum(features[0].astype(np.float32) @ weights, 0)
        return heat / heat.max() if heat.max() > 0 else heat


def last_feature_map(network: keras.Model) -> Any:
    """The last output in the graph that still has places, height and width, and comes of something learned."""
    learned = 0
    found = None
    for operation in network.operations:  # layers, and additions and the like between them
        learned += len(getattr(operation, "weights", ()))
        is_inner_model = isinstance(operation, keras.Model)  # its output is not of this graph
        if learned and not is_inner_model and is_map(operation.output) and not is_pooling(operation):
            found = operation.output
    if found is None:
        raise no_map()
    return found


def is_pooling(operation: keras.Operation) -> bool:
    return any(kind in type(operation).__name__ for kind in POOLING)


def is_map(tensor: Any) -> bool:
    return isinstance(tensor, keras.KerasTensor) and len(tensor.shape) == 4 and np.prod(tensor.shape[1:3]) > 1


def score(network: keras.Model) -> Any:
    """What the gradient is taken of: the logits where they can be had, else the logarithm of the probabilities."""
    last = network.get_layer(PROBABILITIES)
    if isinstance(last, keras.layers.Softmax):
        return last.input
    return keras.ops.log(network.output + 1e-7)


def no_map() -> NotExplainable:
    return NotExplainable("This model has no feature map, so it cannot show where it looked.")
