"""Transfer learning: a pretrained backbone's features, computed once, and a new head fitted to them."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts, fitted_to
from classifier.errors import NotDownloaded, StartupError
from classifier.evaluation.metrics import cross_entropy
from classifier.models import weights
from classifier.models.backend import compiled
from classifier.models.downloads import obtain, refuse
from classifier.models.labels import IMAGENET_CLASSES
from classifier.models.network_features import FEATURES_LAYER
from classifier.models.pretrained import Fetch, download, find_builder, find_preprocessing, input_side, needed_file
from classifier.training.calibration import softmax
from classifier.training.fit import Batches, Fitted, fit, outputs
from classifier.training.head import ClassWeights, fit_head
from classifier.training.options import Options
from classifier.training.recipes import inputs, large_enough

CPU_BACKBONE = "efficientnet_lite2"
GPU_BACKBONES = ("efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s")  # the best first
FINE_TUNED_SHARE = 1 / 3  # of the layers, from the end
FINE_TUNING_RATE = 1 / 100  # of the learning rate


def train_head(dataset: Dataset, parts: Parts, options: Options, class_weights: ClassWeights) -> Fitted:
    """Return a backbone with a head that is fitted to the training and validation photos, by cross-validation.

    With `options.fine_tune`, the head is fitted to the training photos alone, as validation photos then choose the
    best epoch.
    """
    base = backbone(options.backbone, options.weights, dataset.pixels.shape[1], options.grayscale)
    photos = fitted_to(parts)
    labels = dataset.labels[photos]
    members = np.arange(len(parts["train"]) if options.fine_tune else len(photos))
    extract = compiled(base)
    features = outputs(extract, dataset, photos, options.batch_size)
    head = fit_head(features, labels, members, class_weights, options.seed)
    network = keras.Model(base.input, head(base.output), name=base.name)
    if options.fine_tune:
        return fine_tune(network, dataset, parts, options, class_weights)
    return Fitted(network, {}, head.held_out, labels, features, extract)


def choose_backbone(device: str, candidates: Sequence[str] = GPU_BACKBONES, fetch: Fetch = obtain) -> str:
    """Return the first of the candidates whose weights are cached or can be fetched; CPU_BACKBONE if that is none.

    On a CPU, the candidates would be too slow. After a failed download, only cached weights count, as the host is the
    same for all.
    """
    for name in candidates if device.startswith("GPU") else ():
        file = needed_file(find_builder(name), {"include_top": False, "input_shape": (input_side(name),) * 2 + (3,)})
        try:
            if not file.is_here():
                fetch(file)
        except NotDownloaded:
            fetch = refuse
        else:
            return name
    return CPU_BACKBONE


def backbone(name: str, weights_from: str, side: int, grayscale: bool = False) -> keras.Model:
    """Return the frozen network, flat, with its preprocessing: uint8 (n, side, side, 3) -> features (n, channels).

    The features are the average of the last feature map over the picture. `weights_from` is `imagenet`, `random`, or
    a weights file of the network, with or without its ImageNet head. Raises StartupError.
    """
    builder = find_builder(name)
    images, pixels = inputs(side, grayscale)
    if grayscale:
        pixels = keras.ops.repeat(pixels, 3, axis=-1)
    arguments = {"include_top": False, "input_tensor": find_preprocessing(builder)(pixels)}
    if weights_from == "imagenet":
        with large_enough(side, name):
            network = download(name, builder, arguments)
    else:
        with weights.unset(), large_enough(side, name):
            network = builder(weights=None, **arguments)
        fill(network, name, weights_from)
    network.trainable = False
    features = keras.layers.GlobalAveragePooling2D(name=FEATURES_LAYER)(network.output)
    return keras.Model(images, features, name=network.name)


def fill(network: keras.Model, name: str, weights_from: str) -> None:
    """Fill a network that has no head from a weights file; a head in the file is ignored."""
    if weights_from == "random":
        weights.randomise(network)
        return
    try:
        weights.load(network, Path(weights_from))
    except StartupError:
        with weights.unset():
            whole = find_builder(name)(weights=None, classes=IMAGENET_CLASSES)
        weights.load(whole, Path(weights_from))
        network.set_weights(whole.get_weights()[: len(network.weights)])


def fine_tune(
    network: keras.Model, dataset: Dataset, parts: Parts, options: Options, class_weights: ClassWeights
) -> Fitted:
    """Train the last third of the layers on the photos themselves; batch normalisation keeps its statistics."""
    for layer in network.layers[round(len(network.layers) * (1 - FINE_TUNED_SHARE)) :]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    train = Batches(dataset.take, dataset.labels, parts["train"], options.batch_size, options.seed, options.augment)
    validation = Batches(dataset.take, dataset.labels, parts["validation"], options.batch_size)
    labels = dataset.labels[parts["validation"]]
    before = outputs(compiled(network), dataset, parts["validation"], options.batch_size)
    history = fit(
        network,
        train,
        validation,
        options,
        learning_rate=options.learning_rate * FINE_TUNING_RATE,
        class_weights=class_weights,
        to_beat=cross_entropy(softmax(before), labels),
    )
    after = outputs(compiled(network), dataset, parts["validation"], options.batch_size)
    return Fitted(network, history, after, labels)
