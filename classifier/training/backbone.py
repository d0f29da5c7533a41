"""A pretrained keras.applications network without its head: what transfer learning starts from."""

from pathlib import Path

import keras

from classifier.errors import StartupError
from classifier.models import weights
from classifier.models.model import SEED, download, quick_to_give_up
from classifier.models.pretrained import find_builder, find_preprocessing
from classifier.training.recipes import inputs, large_enough

IMAGENET_CLASSES = 1000


def backbone(name: str, weights_from: str, side: int, grayscale: bool = False) -> keras.Model:
    """The frozen network, flat, with its preprocessing: uint8 (n, side, side, 3) -> features (n, channels).

    The features are the last feature map's average over the picture. `weights_from` is `imagenet`, `random`, or a
    weights file of the network, with or without its ImageNet head. Raises StartupError.
    """
    builder = find_builder(name)
    images, pixels = inputs(side, grayscale)
    if grayscale:
        pixels = keras.ops.repeat(pixels, 3, axis=-1)
    arguments = {"include_top": False, "input_tensor": find_preprocessing(builder)(pixels)}
    with weights.unset(), large_enough(side, name):  # before anything is fetched
        network = builder(weights=None, **arguments)
    if weights_from == "imagenet":
        with quick_to_give_up():
            network = download(name, builder, {**arguments, "classes": IMAGENET_CLASSES})
    else:
        fill(network, name, weights_from)
    network.trainable = False
    features = keras.layers.GlobalAveragePooling2D(name="features")(network.output)
    return keras.Model(images, features, name=network.name)


def fill(network: keras.Model, name: str, weights_from: str) -> None:
    """Give a network without its head the weights of a file; if the file has the head, too, that is left out."""
    if weights_from == "random":
        weights.randomise(network, SEED)
        return
    try:
        weights.load(network, Path(weights_from))
    except StartupError:
        with weights.unset():
            whole = find_builder(name)(weights=None, classes=IMAGENET_CLASSES)
        weights.load(whole, Path(weights_from))
        network.set_weights(whole.get_weights()[: len(network.weights)])
