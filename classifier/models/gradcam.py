"""Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): a heat map of where a network saw a class in a picture.

The network is only read, never changed.
"""

from typing import Any

import keras
import numpy as np

from classifier.errors import NotExplainable
from classifier.models import backend
from classifier.models.precision import PROBABILITIES

POOLING = ("Pooling", "Dropout", "Flatten")  # in the names of layers that only blur or reshape the map before them


class GradCam:
    """Heat maps for one network, uint8 (1, h, w, 3) -> probabilities (1, classes).

    Raises NotExplainable for a network without a feature map, such as one of dense layers only.
    """

    def __init__(self, network: keras.Model) -> None:
        feature_map = last_feature_map(network)
        try:
            head = keras.Model(feature_map, score(network))
        except ValueError as exc:  # part of the graph bypasses the map
            raise no_map() from exc
        self._features = backend.compiled(keras.Model(network.input, feature_map))
        self._gradient = backend.gradient(head)

    def __call__(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return how much each part of a picture speaks for a class: float32 (rows, columns) from 0 to 1.

        `image` is uint8 (h, w, 3). The map is all zero if no part speaks for the class.
        """
        features = self._features(image[np.newaxis])  # (1, rows, columns, channels)
        gradient = self._gradient(features, index)
        weights = gradient.astype(np.float32).mean(axis=(0, 1, 2))  # of each channel
        heat: np.ndarray = np.maximum(features[0].astype(np.float32) @ weights, 0)
        return heat / heat.max() if heat.max() > 0 else heat


def last_feature_map(network: keras.Model) -> Any:
    """Return the last output in the graph that has height and width and depends on weights. Raises NotExplainable."""
    learned = 0
    found = None
    for operation in network.operations:  # layers, and arithmetic between them
        learned += len(getattr(operation, "weights", ()))
        is_inner_model = isinstance(operation, keras.Model)  # its output is not part of this graph
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
    """Return the tensor to take the gradient of: the logits if available, otherwise the log of the probabilities."""
    last = network.get_layer(PROBABILITIES)
    if isinstance(last, keras.layers.Softmax):
        return last.input
    return keras.ops.log(network.output + 1e-7)


def no_map() -> NotExplainable:
    return NotExplainable("This model has no feature map, so it cannot show where it looked.")
