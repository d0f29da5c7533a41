"""Transfer learning: a pretrained backbone's features, computed once, and a new head trained on them."""

from pathlib import Path

import keras
import numpy as np

from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts
from classifier.errors import StartupError
from classifier.models import backend, weights
from classifier.models.labels import IMAGENET_CLASSES
from classifier.models.pretrained import download, find_builder, find_preprocessing
from classifier.progress import progress
from classifier.training import recipes
from classifier.training.fit import Batches, History, fit
from classifier.training.options import Options
from classifier.training.recipes import inputs, large_enough

AUGMENTED_COPIES = 2  # of every training photo, if photos are augmented: each costs another run of the backbone
FINE_TUNED_SHARE = 1 / 3  # of the layers, from the end
FINE_TUNING_RATE = 1 / 100  # of the learning rate


def train_head(
    dataset: Dataset, parts: Parts, options: Options, class_weights: dict[int, float] | None
) -> tuple[keras.Model, History]:
    """Return a trained network, uint8 photos -> logits, and the history of its training."""
    base = backbone(options.backbone, options.weights, dataset.pixels.shape[1], options.grayscale)
    train = features(base, training_photos(dataset, parts, options))
    validation = features(base, [Batches(dataset.take, dataset.labels, parts["validation"], options.batch_size)])
    head_input = keras.Input(train[0].shape[1:])
    head = keras.Model(head_input, recipes.transfer(head_input, len(dataset.classes)))
    shuffled, fixed = batches(*train, options.batch_size, options.seed), batches(*validation, options.batch_size)
    history = fit(head, shuffled, fixed, options, class_weights=class_weights)
    network = keras.Model(base.input, recipes.transfer(base.output, len(dataset.classes)), name=base.name)
    network.set_weights(base.get_weights() + head.get_weights())
    if options.fine_tune:
        later = fine_tune(network, min(history["val_loss"]), dataset, parts, options, class_weights)
        history = joined(history, later)
    return network, history


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
    with weights.unset(), large_enough(side, name):  # before anything is downloaded
        network = builder(weights=None, **arguments)
    if weights_from == "imagenet":
        network = download(name, builder, arguments)
    else:
        fill(network, name, weights_from)
    network.trainable = False
    features = keras.layers.GlobalAveragePooling2D(name="features")(network.output)
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


def training_photos(dataset: Dataset, parts: Parts, options: Options) -> list[Batches]:
    """Return the training photos and, if they are to be augmented, as many altered copies as AUGMENTED_COPIES."""
    arguments = dataset.take, dataset.labels, parts["train"], options.batch_size
    copies = range(AUGMENTED_COPIES) if options.augment else ()
    return [Batches(*arguments), *(Batches(*arguments, options.seed + i, options.augment) for i in copies)]


def features(base: keras.Model, sources: list[Batches]) -> tuple[np.ndarray, np.ndarray]:
    """Run all photos through the backbone: features, float32 (n, channels), and labels, int (n,)."""
    run = backend.compiled(base)
    steps = [(source, i) for source in sources for i in range(len(source))]
    found = []
    for source, i in progress(steps, f"Features by {base.name}", len(steps)):
        pixels, labels = source[i]
        found.append((run(pixels), labels))
    return np.concatenate([values for values, _ in found]), np.concatenate([labels for _, labels in found])


def batches(values: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None) -> Batches:
    return Batches(values.__getitem__, labels, np.arange(len(labels)), batch_size, seed)


def fine_tune(
    network: keras.Model,
    to_beat: float,
    dataset: Dataset,
    parts: Parts,
    options: Options,
    class_weights: dict[int, float] | None,
) -> History:
    """Train the last third of the layers on the photos themselves; batch normalisation keeps its statistics."""
    for layer in network.layers[round(len(network.layers) * (1 - FINE_TUNED_SHARE)) :]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    arguments = dataset.take, dataset.labels
    train = Batches(*arguments, parts["train"], options.batch_size, options.seed, options.augment)
    validation = Batches(*arguments, parts["validation"], options.batch_size)
    rate = options.learning_rate * FINE_TUNING_RATE
    return fit(network, train, validation, options, learning_rate=rate, class_weights=class_weights, to_beat=to_beat)


def joined(history: History, later: History) -> History:
    """Return both histories as one; `later` is empty if it was interrupted in its first epoch."""
    return {name: values + later.get(name, []) for name, values in history.items()}
