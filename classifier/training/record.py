"""What training leaves in a model folder beside the network: numbers, pictures, which photo was used for what."""

import csv
import hashlib
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts
from classifier.evaluation import metrics, report
from classifier.models import folder
from classifier.models.model import Model
from classifier.photos import decode, fit
from classifier.text import one_line
from classifier.training.fit import History
from classifier.training.options import Options


@dataclass(frozen=True)
class Trained:
    """A trained model and all that it came from."""

    model: Model
    threshold: float
    photos: Dataset
    parts: Parts
    options: Options
    history: History


def write(part: Path, trained: Trained, scores: np.ndarray) -> dict[str, Any]:
    """Fill a model folder; `scores`, (n, classes), are the probabilities of the test photos. Returns their metrics."""
    photos, test = trained.photos, trained.parts["test"]
    labels = photos.labels[test]
    majority = int(np.bincount(photos.labels[trained.parts["train"]]).argmax())
    found = metrics.measure(scores, labels, photos.classes, majority, trained.threshold)
    paths = [photos.photos[i].path for i in test]
    folder.write(part, trained.model.network, card(trained, found))
    write_split(part / folder.SPLIT, photos, trained.parts)
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
    done = {"date": date.today().isoformat(), "epochs": len(trained.history["loss"])}
    return folder.ModelCard(
        labels=photos.classes, size=trained.model.info.size, color_mode="grayscale" if options.grayscale else "rgb",
        resize=options.resize, threshold=trained.threshold, metrics=found,
        training=done | {"data": data | counts, "options": asdict(options)},
    )  # fmt: skip


def facts(trained: Trained) -> dict[str, str]:
    """How it was trained, for people."""
    options, photos = trained.options, trained.photos
    start = f"a head on {options.backbone}" if options.recipe == "transfer" else "from scratch"
    colours = "greyscale" if options.grayscale else "colour"
    return {
        "Recipe": f"{options.recipe}, {start}",
        "Photos": ", ".join(f"{len(indices)} {part}" for part, indices in trained.parts.items()),
        "Left out": f"{len(photos.rejected)} files that could not be read or were copies",
        "Input": f"{options.image_size} x {options.image_size} pixels, {colours}, {options.resize}",
        "Augmentation": ", ".join(options.augment) or "none",
        "Epochs": f"{len(trained.history['loss'])}, seed {options.seed}",
        "Not sure under": f"{trained.threshold:.2%}",
        "Date": date.today().isoformat(),
    }


def fingerprint(photos: Dataset) -> str:
    """The same for the same contents in the same classes, wherever they lie."""
    rows = sorted(
        f"{photos.classes[photo.label]}\0{digest}" for photo, digest in zip(photos.photos, photos.digests, strict=True)
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def write_split(path: Path, photos: Dataset, parts: Parts) -> None:
    """A row per photo: its path below the data folder, class, part, and the SHA-256 of its content."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class", "part", "sha256"])
        for part, indices in parts.items():
            for i in indices:
                photo = photos.photos[i]
                name = photo.path.relative_to(photos.folder).as_posix()
                rows.writerow([name, photos.classes[photo.label], part, photos.digests[i]])


def read_split(path: Path) -> dict[str, str]:
    """The part of every photo, by the SHA-256 of its content; empty when there is no such file. Raises StartupError."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            return {row["sha256"]: row["part"] for row in csv.DictReader(file)}
        except (KeyError, csv.Error) as exc:
            raise folder.unusable(path.parent, f"its {path.name} is damaged ({one_line(exc)})") from exc


def write_examples(target: Path, paths: list[Path], count: int) -> None:
    """Some of the photos, evenly from all of them, as the site shows photos: small JPEGs without metadata."""
    target.mkdir()
    for number, i in enumerate(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int), 1):
        preview = fit.to_preview(decode.read(paths[i].read_bytes()))
        (target / f"{number}.jpg").write_bytes(preview)
