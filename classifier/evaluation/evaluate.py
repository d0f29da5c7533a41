"""Measure a model on photos that it was not trained on."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from classifier.contract import ServedModel
from classifier.dataset import reading
from classifier.dataset.options import DEFAULTS, DataOptions
from classifier.dataset.reading import Dataset
from classifier.errors import DataError
from classifier.evaluation import metrics, report
from classifier.evaluation.strangers import familiarity_of
from classifier.models import folder, load
from classifier.options import Device, ModelOptions, Precision

log = logging.getLogger(__name__)

DEFAULT_PRECISION: Precision = ModelOptions.model_fields["precision"].default
AT_ONCE = 64  # photos read from the dataset for one call of the model


class Compared(NamedTuple):
    """The probabilities, float32 (n, classes), and the familiarity, float (n,), of n photos; None if not compared."""

    scores: np.ndarray
    familiarity: np.ndarray | None


def evaluate(
    path: Path,
    data: Path,
    output: Path | None = None,
    precision: Precision = DEFAULT_PRECISION,
    device: Device = "auto",
    options: DataOptions = DEFAULTS,
    strangers: Path | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Return the metrics of a model folder on a folder of photos per class, and its class names.

    If the data folder is divided, only its `test` part is used; photos that trained the model or chose its best epoch
    never are. With `output`, report.html, metrics.json and the pictures are written there. With `strangers`, a folder
    of photos of none of the classes, the metrics have how well the model tells them apart.
    Raises StartupError for the model and DataError for the photos.
    """
    card = folder.read_card(path)  # before load(), which would also accept the name of a Keras model
    model = load(ModelOptions(model=str(path), precision=precision, device=device), warm=False)
    photos = unseen(reading.read(data, model.info.size, model.info.resize, options, least=1), folder.read_split(path))
    labels = model_labels(photos, card.labels)
    theirs = familiarity_of(model, strangers) if strangers else None
    scores, familiarity = compare(model, photos, np.arange(len(labels)))
    majority = card.metrics.get("baseline", {}).get("class", card.labels[np.bincount(labels).argmax()])
    baseline = card.labels.index(majority)
    found = metrics.measure(scores, labels, card.labels, baseline, card.threshold, temperature(card))
    if familiarity is not None and (model.info.judges or strangers):
        found["familiarity"] = metrics.familiarity(familiarity, theirs)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        paths = [photo.path for photo in photos.photos]
        title = path.resolve().name
        facts = {"Model": title, "Photos": f"{len(paths)} of {data.resolve().name}"}
        report.write(output, title, found, card.labels, scores, labels, paths, facts=facts)
    return found, card.labels


def temperature(card: folder.ModelCard) -> float:
    """Return what the logits of a model are divided by; 1 if its card does not give a temperature."""
    found = card.training.get("temperature")
    return found if isinstance(found, float) and 0 < found < math.inf else 1.0


def predict(model: ServedModel, photos: Dataset, indices: np.ndarray) -> np.ndarray:
    """Return probabilities, float32 (len(indices), classes), computed as in serving."""
    return np.concatenate([model(pixels) for pixels in slices(photos, indices)])


def compare(model: ServedModel, photos: Dataset, indices: np.ndarray) -> Compared:
    """Return the probabilities and the familiarity of some photos, computed as in serving."""
    if not model.info.compares:
        return Compared(predict(model, photos, indices), None)
    runs = [model.compare(pixels) for pixels in slices(photos, indices)]
    familiarity = [own.familiarity for _, resemblances in runs for own in resemblances]
    return Compared(np.concatenate([scores for scores, _ in runs]), np.array(familiarity))


def slices(photos: Dataset, indices: np.ndarray) -> Iterator[np.ndarray]:
    for i in range(0, len(indices), AT_ONCE):
        yield photos.take(indices[i : i + AT_ONCE])


def unseen(photos: Dataset, parts: dict[str, str]) -> Dataset:
    """Return the photos that the model was not trained on. Raises DataError if there are none."""
    photos.log_rejected()
    seen = [parts.get(digest, "test") != "test" for digest in photos.digests]
    if any(seen):
        log.warning("%d photos are left out because the model was trained on them.", sum(seen))
    kept = [i for i, photo in enumerate(photos.photos) if not seen[i] and photo.part in (None, "test")]
    if not kept:
        raise DataError(
            f"{photos.folder} has no photo to test with: all are unreadable, "
            "were used in training, or are not in its test part."
        )
    return photos.subset(kept)


def model_labels(photos: Dataset, labels: list[str]) -> np.ndarray:
    """Return the model's label for every photo, int (n,). Raises DataError for a class that the model does not know."""
    known = [normalize("NFC", name) for name in labels]
    unknown = sorted({photos.classes[photo.label] for photo in photos.photos} - set(known))
    if unknown:
        raise DataError(
            f"The model does not know the class {', '.join(unknown[:5])}; it knows {', '.join(labels[:10])}."
        )
    return np.array([known.index(photos.classes[photo.label]) for photo in photos.photos], int)
