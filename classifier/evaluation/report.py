"""An evaluation as a folder to look at: report.html, the pictures that it shows, and metrics.json."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from classifier import text
from classifier.evaluation import plots, summary


class Picture(NamedTuple):
    """A file beside the page: its heading, how to read it, what there is to see, and how it is drawn (if it is)."""

    file: str
    heading: str
    hint: str
    alt: str
    draw: Callable[[Path], bool]


def write(
    folder: Path,
    title: str,
    metrics: dict[str, Any],
    classes: list[str],
    scores: np.ndarray,
    labels: np.ndarray,
    paths: list[Path],
    history: dict[str, list[float]] | None = None,
    facts: dict[str, str] | None = None,
) -> None:
    """Write the report into a folder that exists; what is there under its names is replaced.

    `metrics` are what `metrics.measure` made of `scores` (n, classes) and `labels` (n,); `paths` are the n photos.
    `facts` are shown as they are: how the model was trained, and with what.
    """
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    right, wrong = most_confident(scores, labels, classes, paths)
    pictures = all_pictures(metrics, classes, history or {}, right, wrong)
    drawn = [picture for picture in pictures if is_drawn(picture, folder)]
    page = template().render(title=title, metrics=metrics, classes=classes, facts=facts or {}, pictures=drawn)
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")


def template() -> Template:
    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=here, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"confusions": summary.confusions, "headline": summary.headline}
    environment.filters["percent"] = text.percent
    return environment.get_template("report.html")


def is_drawn(picture: Picture, folder: Path) -> bool:
    """Draw it, or take away what an earlier report left there."""
    drawn = picture.draw(folder / picture.file)
    if not drawn:
        (folder / picture.file).unlink(missing_ok=True)
    return drawn


def most_confident(
    scores: np.ndarray, labels: np.ndarray, classes: list[str], paths: list[Path]
) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """The photos with right and with wrong answers, each with its caption, the most confident first."""
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    right, wrong = [], []
    for i in np.argsort(-confidence, kind="stable"):
        answer = f"{classes[predicted[i]]} {confidence[i]:.0%}".replace("%", " %")
        if predicted[i] == labels[i]:
            right.append((paths[i], answer))
        else:
            wrong.append((paths[i], f"{answer} (is: {classes[labels[i]]})"))
    return right, wrong


def all_pictures(
    metrics: dict[str, Any],
    classes: list[str],
    history: dict[str, list[float]],
    right: list[tuple[Path, str]],
    wrong: list[tuple[Path, str]],
) -> Iterator[Picture]:
    """In the order of the page."""
    yield Picture(
        "confusion-matrix.png",
        "What is taken for what",
        "A row is what the photos show, a column is what the model said; right answers are on the diagonal.",
        "Confusion matrix: how many photos of each class were given which class",
        lambda path: plots.confusion_matrix(metrics["confusion"], classes, path),
    )
    yield Picture(
        "most-confident-wrong.png",
        "Most confident wrong answers",
        "Look here first: mislabelled photos, ambiguous classes, and what the model has learned by mistake.",
        "Photos with the wrong answers the model was surest of, and what they are",
        lambda path: plots.gallery(wrong, "", path),
    )
    yield Picture(
        "most-confident-right.png",
        "Most confident right answers",
        "What the model takes for typical.",
        "Photos with the right answers the model was surest of",
        lambda path: plots.gallery(right, "", path),
    )
    yield Picture(
        "calibration.png",
        "Whether its probabilities can be believed",
        "On the dashed line, of the answers given with 80 % just 80 % are right; below it, the model is too sure.",
        "Reliability diagram: how often answers are right, by their probability",
        lambda path: plots.calibration(metrics["calibration"]["bins"], path),
    )
    yield Picture(
        "learning-curves.png",
        "How it learned",
        "Where the training loss falls and the validation loss rises, the model learns its photos by heart.",
        "Learning curves: loss and accuracy of training and validation by epoch",
        lambda path: plots.learning_curves(history, path),
    )
