"""A name or a model folder -> a model."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import keras

from classifier import memory
from classifier.errors import StartupError
from classifier.models import automatic, familiarity, folder, labels, weights
from classifier.models.downloads import WAYS_OUT, obtain
from classifier.models.familiarity import Comparison, TrainingPhotos
from classifier.models.model import Model
from classifier.models.network_features import features_of, has_features
from classifier.models.precision import default_policy, has_float32_layers, prepare, rebuilt, resolve, with_softmax
from classifier.models.pretrained import Fetch, download, find_builder, find_preprocessing, input_side
from classifier.options import ModelOptions

log = logging.getLogger(__name__)


def load(options: ModelOptions, device_reason: str = "", fetch: Fetch = obtain, warm: bool = True) -> Model:
    """Build and fill a classifier: a pretrained one by name, or a model folder.

    `options.model` is a module-style name (`vgg16`, `efficientnet_lite2`, ...) or the path of a model folder.
    A folder has its own weights, labels and resize, which take the place of the options'. `device_reason` explains why
    the CPU answers, for the log and the pages. `fetch` brings weights that are not cached: `downloads.obtain` downloads
    them, `downloads.refuse` raises NotCached. `warm` spares the first photos a wait; a command for a few photos takes
    less time without it.

    Raises StartupError, in one line, if the name, the weights or the labels cannot be used; NotDownloaded, a subclass,
    if the download of the weights is the reason.
    """
    started = time.monotonic()
    prepare(options.precision)
    model = from_folder(options) if folder.is_folder(options.model) else from_applications(options, fetch)
    model.info = replace(model.info, device_reason=device_reason)
    if warm:
        model.warm_up()
    memory.give_back()  # what the weights took on their way: 0.7 GB with VGG16, which a busy process would keep
    info, seconds = model.info, time.monotonic() - started
    log.info("%s answers on %s in %s after %.1f s.", options.model, info.device, info.precision, seconds)
    return model


def from_folder(options: ModelOptions) -> Model:
    """Return the classifier of a model folder. Raises StartupError."""
    path = Path(options.model)
    network, card = folder.read(path)
    precision = resolve(options.precision)
    if precision != "float32":
        config, values = network.get_config(), network.get_weights()
        del network  # before its successor needs memory
        network = rebuilt(config, values, precision)
    network = automatic.settled(network, options, card.resize)
    photos = familiarity.read(path, len(card.labels))
    if photos:
        check_features(path, network, photos)
    return Model(
        path.resolve().name,
        network,
        card.class_labels,
        resize=card.resize,
        threshold=card.threshold,
        terms=folder.terms_of(card),
        comparison=Comparison(photos, card.labels, familiarity.thumbnails(path)) if photos else None,
        judges=bool(photos and photos.separates and options.familiarity),
    )


def check_features(path: Path, network: keras.Model, photos: TrainingPhotos) -> None:
    """Raise StartupError unless the stored features can come from the network."""
    given = features_of(network).shape[-1] if has_features(network) else 0
    stored = photos.features.shape[1]
    if given != stored:
        raise folder.unusable(path, f"{familiarity.FEATURES} has {stored} features a photo, the network {given}")


def from_applications(options: ModelOptions, fetch: Fetch) -> Model:
    """Return a classifier of keras.applications or EfficientNet-Lite. Raises StartupError."""
    find_builder(options.model)  # report a misspelt name before anything is downloaded
    is_random = options.weights == "random"
    class_labels = labels.read(options.labels) if options.labels else labels.imagenet()
    network = build(options.model, options.weights, len(class_labels), resolve(options.precision), fetch)
    network = automatic.settled(network, options, options.resize, is_random)
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
