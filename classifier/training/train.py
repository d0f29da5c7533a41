"""A folder of photos per class -> a model folder: read, split, train, evaluate on held-out photos, write."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classifier.contract import Label
from classifier.dataset import duplicates, reading
from classifier.dataset.options import DEFAULTS, DataOptions
from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts, split
from classifier.errors import DataError, StartupError
from classifier.evaluation.evaluate import compare
from classifier.models import backend, folder
from classifier.models.familiarity import Comparison
from classifier.models.model import Model
from classifier.models.precision import with_softmax
from classifier.models.pretrained import input_side
from classifier.training import familiarity, recipes, record, transfer
from classifier.training.calibration import scaled, softmax, temperature
from classifier.training.fit import Batches, Fitted, fit, outputs
from classifier.training.options import AUTO, Options
from classifier.training.record import Trained

log = logging.getLogger(__name__)

UNSURE_SHARE = 0.05  # of the right answers on held-out photos: how many the threshold may turn into "not sure"


def train(data: Path, output: Path, options: Options, data_options: DataOptions = DEFAULTS) -> dict[str, Any]:
    """Train on a folder of photos per class, write a model folder, and return the metrics on the test photos.

    Raises DataError or StartupError; `output` is then as it was before.
    """
    if data.resolve() in output.resolve().parents:
        raise DataError(f"{output} is inside {data}, where it would pass for a class; please choose another output.")
    backend.prepare()
    keras.utils.set_random_seed(options.seed)
    options = with_recipe_defaults(with_backbone(options))
    photos = reading.read(data, (options.image_size,) * 2, options.resize, data_options)
    photos = duplicates.without_duplicates(photos)
    parts = split(photos, options.validation_split, options.test_split, options.seed)
    log_split(photos, parts)
    with folder.replaced(output) as part:
        fitted = train_network(photos, parts, options)
        divisor = temperature(fitted.logits, fitted.labels)
        labels = [Label("", name) for name in photos.classes]
        network = with_softmax(scaled(fitted.network, divisor), "classifier")
        known = familiarity.training_photos(fitted, photos, parts, options.recipe != "transfer")
        comparison = Comparison(known, photos.classes)
        model = Model(output.name, network, labels, resize=options.resize, comparison=comparison)
        threshold = confidence_threshold(softmax(fitted.logits / divisor), fitted.labels)
        trained = Trained(model, divisor, threshold, known, photos, parts, options, fitted.history)
        return record.write(part, trained, compare(model, photos, parts["test"]))


def with_backbone(options: Options) -> Options:
    """Return the options with a backbone for this machine, if a transfer is to choose one. Raises StartupError."""
    if options.recipe != "transfer" or options.backbone != AUTO:
        return options
    if options.weights not in ("imagenet", "random"):
        raise StartupError(
            f"The weights {options.weights} belong to one network; expected its name as --backbone, found {AUTO}."
        )
    device = backend.device_name()
    name = transfer.choose_backbone(device) if options.weights == "imagenet" else transfer.CPU_BACKBONE
    log.info("The backbone is %s, the best at hand for this %s.", name, device)
    return options.model_copy(update={"backbone": name})


def with_recipe_defaults(options: Options) -> Options:
    """Return the options with the recipe's own image size and colours filled in."""
    recipe = recipes.FROM_SCRATCH.get(options.recipe)
    image_size = options.image_size or (recipe.side if recipe else input_side(options.backbone))
    grayscale = options.grayscale or bool(recipe and recipe.grayscale)
    return options.model_copy(update={"image_size": image_size, "grayscale": grayscale})


def log_split(photos: Dataset, parts: Parts) -> None:
    counts = ", ".join(f"{len(indices)} {part}" for part, indices in parts.items())
    log.info("%d photos of %d classes: %s.", len(photos.photos), len(photos.classes), counts)
    photos.log_rejected()


def train_network(photos: Dataset, parts: Parts, options: Options) -> Fitted:
    """Return a fitted network with the logits of photos that it was not fitted to."""
    weights = balanced(photos.labels[parts["train"]]) if options.class_weights else None
    if options.recipe == "transfer":
        return transfer.train_head(photos, parts, options, weights)
    network = recipes.from_scratch(options.recipe, options.image_size, options.grayscale, len(photos.classes))
    train = Batches(photos.take, photos.labels, parts["train"], options.batch_size, options.seed, options.augment)
    validation = Batches(photos.take, photos.labels, parts["validation"], options.batch_size)
    history = fit(network, train, validation, options, class_weights=weights)
    logits = outputs(backend.compiled(network), photos, parts["validation"], options.batch_size)
    return Fitted(network, history, logits, photos.labels[parts["validation"]])


def balanced(labels: np.ndarray) -> dict[int, float]:
    """Return a weight per class, inversely proportional to its number of photos, so that all classes count the same."""
    counts = Counter(labels.tolist())
    return {label: len(labels) / (len(counts) * count) for label, count in counts.items()}


def confidence_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the top probability, 0 to 1, that 95% of the right answers reach; 0 if none is right."""
    right = scores.argmax(axis=1) == labels
    if not right.any():
        return 0.0
    return float(np.floor(np.quantile(scores.max(axis=1)[right], UNSURE_SHARE) * 1e4) / 1e4)
