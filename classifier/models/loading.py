"""A name or a model folder -> a warm model."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import keras

from classifier.contract import Label
from classifier.errors import StartupError
from classifier.models import folder, labels, weights
from classifier.models.downloads import WAYS_OUT, obtain
from classifier.models.model import Model
from classifier.models.precision import default_policy, has_float32_layers, prepare, rebuilt, resolve, with_softmax
from classifier.models.pretrained import Fetch, download, find_builder, find_preprocessing, input_side
from classifier.options import ModelOptions

log = logging.getLogger(__name__)


def load(options: ModelOptions, device_reason: str = "", fetch: Fetch = obtain) -> Model:
    """Build, fill and warm up a classifier: a pretrained one by name, or a model folder.

    `options.model` is a module-style name (`vgg16`, `efficientnet_lite2`, ...) or the path of a model folder.
    A folder has its own weights, labels and resize, which take the place of the options'. `device_reason` explains why
    the CPU answers, for the log and the pages. `fetch` brings weights that are not cached: `downloads.obtain` downloads
    them, `downloads.refuse` raises NotCached.

    Raises StartupError, in one line, if the name, the weights or the labels cannot be used; NotDownloaded, a subclass,
    if the download of the weights is the reason.
    """
    started = time.monotonic()
    prepare(options.precision)
    model = from_folder(options) if is_folder(options.model) else from_applications(options, fetch)
    model.info = replace(model.info, device_reason=device_reason)
    model.warm_up()
    info, seconds = model.info, time.monotonic() - started
    log.info("%s answers on %s in %s after %.1f s.", options.model, info.device, info.precision, seconds)
    return model


def is_folder(name: str) -> bool:
    """Return True if a model's name is the path of a model folder."""
    return os.sep in name or Path(name).is_dir()


def from_folder(options: ModelOptions) -> Model:
    """Return the classifier of a model folder. Raises StartupError."""
    path = Path(options.model)
    network, card = folder.read(path)
    precision = resolve(options.precision)
    if precision != "float32":
        config, values = network.get_config(), network.get_weights()
        del network  # before its successor needs memory
        network = rebuilt(config, values, precision)
    class_labels = [Label("", name) for name in card.labels]
    name, terms = path.resolve().name, folder.terms_of(card)
    return Model(name, network, class_labels, resize=card.resize, threshold=card.threshold, terms=terms)


def from_applications(options: ModelOptions, fetch: Fetch) -> Model:
    """Return a classifier of keras.applications or EfficientNet-Lite. Raises StartupError."""
    find_builder(options.model)  # report a misspelt name before anything is downloaded
    is_random = options.weights == "random"
    class_labels = labels.read(options.labels) if options.labels else labels.imagenet()
    network = build(options.model, options.weights, len(class_labels), resolve(options.precision), fetch)
    terms = labels.imagenet_terms(class_labels)
    return Model(options.model, network, class_labels, resize=options.resize, is_random=is_random, terms=terms)


def build(name: str, weights_from: str, classes: int, precision: str = "float32", fetch: Fetch = obtain) -> keras.Model:
    """Build the network as one flat graph, uint8 (n, h, w, 3) -> float32 probabilities (n, classes).

    Raises StartupError.
    """
    with weights.unset(), default_policy("float32" if weights_from == "imagenet" else precision):
        network = assemble(name, weights_from, classes, fetch)
    if precision != "float32" and (weights_from == "imagenet" or has_float32_layers(network)):
        config = network.get_config()
        values = network.get_weights() if weights_from == "imagenet" else None
        del network  # before its successor needs memory
        network = rebuilt(config, values, precision)
    if weights_from == "random":
        weights.randomise(network)
    elif weights_from != "imagenet":
        weights.load(network, Path(weights_from))
    return with_softmax(network, network.name)


def assemble(name: str, weights_from: str, classes: int, fetch: Fetch = obtain) -> keras.Model:
    """Build the network from bytes to logits, with its preprocessing, and with weights only if they are `imagenet`.

    Raises StartupError.
    """
    builder = find_builder(name)
    side = input_side(name)
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    preprocessed = find_preprocessing(builder)(keras.ops.cast(images, "float32"))
    arguments = {"input_tensor": preprocessed, "classes": classes, "classifier_activation": None}
    if weights_from != "imagenet":
        return builder(weights=None, **arguments)
    if classes != labels.IMAGENET_CLASSES:
        raise StartupError(
            f"The weights of {name} cannot be used: expected {labels.IMAGENET_CLASSES} labels for the ImageNet "
            f"weights, found {classes}. {WAYS_OUT}"
        )
    return download(name, builder, arguments, fetch)
