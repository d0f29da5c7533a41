"""Fill a model folder after training: the network and its card, the split, the examples and the report."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts
from classifier.evaluation import metrics, report
from classifier.evaluation.evaluate import Compared
from classifier.models import familiarity, folder
from classifier.models.familiarity import TrainingPhotos
from classifier.models.model import Model
from classifier.photos import decode, fit
from classifier.text import percent, quantity
from classifier.training.fit import History
from classifier.training.options import Options

THUMBNAIL, THUMBNAIL_QUALITY = (128, 128), 80


@dataclass(frozen=True)
class Trained:
    """A trained model and everything it was made from."""

    model: Model
    temperature: float
    threshold: float
    known: TrainingPhotos
    photos: Dataset
    parts: Parts
    options: Options
    history: History


def write(part: Path, trained: Trained, compared: Compared) -> dict[str, Any]:
    """Fill a model folder and return the metrics of the test photos, which were `compared` in their order."""
    photos, test = trained.photos, trained.parts["test"]
    scores = compared.scores
    labels = photos.labels[test]
    majority = int(np.bincount(photos.labels[trained.parts["train"]]).argmax())
    found = metrics.measure(scores, labels, photos.classes, majority, trained.threshold, trained.temperature)
    if trained.known.separates and compared.familiarity is not None:
        found["familiarity"] = metrics.familiarity(compared.familiarity)
    paths = [photos.photos[i].path for i in test]
    folder.write(part, trained.model.network, card(trained, found))
    folder.write_split(part, split_rows(photos, trained.parts))
    familiarity.write(part, trained.known)
    if not trained.options.no_thumbnails:
        write_thumbnails(part / familiarity.THUMBNAILS, photos, trained.known.hashes)
    write_examples(part / folder.EXAMPLES, paths, trained.options.examples)
    report.write(
        part, trained.model.info.name, found, photos.classes, scores, labels, paths, trained.history, facts(trained)
    )
    return found


def card(trained: Trained, found: dict[str, Any]) -> folder.ModelCard:
    options, photos = trained.options, trained.photos
    data = {
        "folder": photos.folder.resolve().name,
        "fingerprint": fingerprint(photos),
        "left_out": len(photos.rejected),
    }
    counts = {part: len(indices) for part, indices in trained.parts.items()}
    given = options.model_dump(mode="json") | {"weights": Path(options.weights).name}
    done = {"date": date.today().isoformat(), "epochs": epochs(trained), "temperature": trained.temperature}
    return folder.ModelCard(
        labels=photos.classes,
        size=trained.model.info.size,
        color_mode="grayscale" if options.grayscale else "rgb",
        resize=options.resize,
        threshold=trained.threshold,
        groups=photos.groups,
        metrics=found,
        training=done | {"data": data | counts, "options": given},
    )


def facts(trained: Trained) -> dict[str, str]:
    """Describe the training for the report, by heading."""
    options, photos = trained.options, trained.photos
    start = f"a head on {options.backbone}" if options.recipe == "transfer" else "from scratch"
    colours = "greyscale" if options.grayscale else "colour"
    return {
        "Recipe": f"{options.recipe}, {start}",
        "Photos": ", ".join(f"{len(indices)} {part}" for part, indices in trained.parts.items()),
        "Left out": f"{quantity(len(photos.rejected), 'file')} that could not be read or were copies",
        "Input": f"{options.image_size} x {options.image_size} pixels, {colours}, {options.resize}",
        "Augmentation": ", ".join(options.augment) or "none",
        "Epochs": f"{epochs(trained)}, seed {options.seed}",
        "Temperature": f"{trained.temperature:.2f}",
        "Not sure below": percent(trained.threshold, 2),
        "None of these": judgement(trained.known),
        "Date": date.today().isoformat(),
    }


def judgement(known: TrainingPhotos) -> str:
    """Describe how well photos of the classes are told from their own shuffled pieces."""
    verdict = "is answered" if known.separates else f"is never answered; it needs {familiarity.LEAST_AUROC}"
    return f"{verdict} (AUROC {known.auroc:.3f} against shuffled photos)"


def epochs(trained: Trained) -> int:
    """Return the number of epochs; a head on a frozen backbone needs none."""
    return len(trained.history.get("loss", ()))


def fingerprint(photos: Dataset) -> str:
    """Return a hash of the classes and their photos' contents, independent of names and places."""
    rows = sorted(
        f"{photos.classes[photo.label]}\0{digest}" for photo, digest in zip(photos.photos, photos.digests, strict=True)
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def split_rows(photos: Dataset, parts: Parts) -> Iterator[folder.SplitRow]:
    """Yield the row of every photo, part by part."""
    for part, indices in parts.items():
        for i in indices:
            photo = photos.photos[i]
            path = photo.path.relative_to(photos.folder).as_posix()
            yield folder.SplitRow(path, photos.classes[photo.label], part, photos.digests[i])


def write_thumbnails(target: Path, photos: Dataset, hashes: np.ndarray) -> None:
    """Write a small JPEG, without metadata, of what the model sees of the photos with these hashes, uint8 (n, 32)."""
    target.mkdir()
    places = {digest: i for i, digest in enumerate(photos.digests)}
    for hash in hashes:
        (pixels,) = photos.take(np.array([places[hash.tobytes().hex()]]))
        image = Image.fromarray(pixels)
        image.thumbnail(THUMBNAIL, Image.Resampling.BICUBIC)
        image.save(target / familiarity.thumbnail_name(hash), "JPEG", quality=THUMBNAIL_QUALITY)


def write_examples(target: Path, paths: list[Path], count: int) -> None:
    """Write `count` photos, spread evenly over all of them, as the site shows photos: small JPEGs without metadata."""
    target.mkdir()
    for number, i in enumerate(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int), 1):
        preview = fit.to_preview(decode.read(paths[i].read_bytes()))
        (target / f"{number}.jpg").write_bytes(preview)
