"""A name or a model folder -> a warm model."""

import logging
import os
import time
from pathlib import Path

import keras

from classifier.contract import Label
from classifier.errors import StartupError
from classifier.models import backend, folder, labels, weights
from classifier.models.model import Model
from classifier.models.precision import default_policy, has_float32_layers, rebuilt, resolve, with_softmax
from classifier.models.pretrained import download, find_builder, find_preprocessing, input_side, quick_to_give_up

log = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000


def load(
    name: str, weights_from: str = "imagenet", labels_path: Path | None = None, precision: str = "float32"
) -> Model:
    """Build, fill and warm up a keras.applications classifier.

    `name` is a module-style name (`vgg16`, `mobilenet_v2`, `efficientnet_b0`), `weights_from` is `imagenet`,
    `random` or the path of a weights file, `labels_path` a class-index file (None: Keras' ImageNet classes),
    `precision` what it computes in (see `models.precision`). Or `name` is the path of a model folder, which has
    its own weights and labels.

    Raises StartupError, in one line, when the name, the weights or the labels do not work out; NotDownloaded, which is
    one, when that is because of the network.
    """
    started = time.monotonic()
    backend.prepare()
    if is_folder(name):
        model = from_folder(Path(name), precision)
    else:
        model = from_applications(name, weights_from, labels_path, precision)
    model.warm_up()
    log.info("%s answers on %s in %s after %.1f s.", name, model.device, model.precision, time.monotonic() - started)
    return model


def is_folder(name: str) -> bool:
    """Whether a model's name is a path."""
    return os.sep in name or Path(name).is_dir()


def from_folder(path: Path, precision: str = "float32") -> Model:
    """The classifier of a model folder. Raises StartupError."""
    network, card = folder.read(path)
    if resolve(precision) != "float32":
        config, values = network.get_config(), network.get_weights()
        del network
        network = rebuilt(config, values, resolve(precision))
    class_labels = [Label("", name) for name in card.labels]
    return Model(path.resolve().name, network, class_labels, resize=card.resize, threshold=card.threshold)


def from_applications(name: str, weights_from: str, labels_path: Path | None, precision: str) -> Model:
    find_builder(name)  # a misspelt name is told before anything is fetched
    is_random = weights_from == "random"
    with quick_to_give_up():
        class_labels = find_labels(labels_path, optional=is_random)
        network = build(name, weights_from, len(class_labels), resolve(precision))
    return Model(name, network, class_labels, is_random=is_random)


def find_labels(path: Path | None, optional: bool = False) -> list[Label]:
    """The labels of a file, or ImageNet's; placeholders if those cannot be had and are `optional`."""
    if path is not None:
        return labels.read(path)
    try:
        return labels.imagenet()
    except StartupError as error:
        if not optional:
            raise
        log.warning("Classes have numbers for names: %s", error)
        return labels.placeholders()


def build(name: str, weights_from: str, classes: int, precision: str = "float32") -> keras.Model:
    """The whole network as one flat graph, uint8 (n, h, w, 3) -> float32 probabilities (n, classes)."""
    with weights.unset(), default_policy("float32" if weights_from == "imagenet" else precision):
        network = assemble(name, weights_from, classes)
    if precision != "float32" and (weights_from == "imagenet" or has_float32_layers(network)):
        config, values = network.get_config(), network.get_weights() if weights_from == "imagenet" else None
        del network
        network = rebuilt(config, values, precision)
    if weights_from == "random":
        weights.randomise(network)
    elif weights_from != "imagenet":
        weights.load(network, Path(weights_from))
    return with_softmax(network, network.name)


def assemble(name: str, weights_from: str, classes: int) -> keras.Model:
    """Build the network from bytes to logits, with its own preprocessing; with weights only if they are `imagenet`.

    Raises StartupError, or NotDownloaded.
    """
    builder = find_builder(name)
    side = input_side(name)
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    preprocessed = find_preprocessing(builder)(keras.ops.cast(images, "float32"))
    arguments = {"input_tensor": preprocessed, "classes": classes, "classifier_activation": None}
    if weights_from != "imagenet":
        return builder(weights=None, **arguments)
    if classes != IMAGENET_CLASSES:
        raise StartupError(
            f"The weights of {name} cannot be used: expected {IMAGENET_CLASSES} labels for the ImageNet weights, "
            f"found {classes}. {weights.WAYS_OUT}"
        )
    return download(name, builder, arguments)
