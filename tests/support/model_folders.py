"""Model folders with a network of one layer. Keras is imported only when they are used."""

from pathlib import Path

import numpy as np

COLOURS = ["red", "green", "blue"]


def colours():
    """Return a network with predictable answers: uint8 (n, 32, 32, 3) -> the softmax of the average colour."""
    import keras

    from classifier.models.precision import with_softmax

    images = keras.Input((32, 32, 3), dtype="uint8", name="images")
    means = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(images, "float32"))
    dense = keras.layers.Dense(3)
    network = keras.Model(images, dense(means))
    dense.set_weights([np.eye(3) / 64, np.zeros(3)])
    return with_softmax(network, "classifier")


def write_colours(path: Path, **card) -> Path:
    """Write a model folder that knows red, green and blue; return its path."""
    from classifier.models import folder

    path.mkdir(parents=True)
    folder.write(path, colours(), folder.ModelCard(**{"labels": COLOURS, "size": (32, 32)} | card))
    return path
