"""An evaluation as a folder: report.html, the pictures that it shows, and metrics.json."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from classifier import text
from classifier.evaluation import plots, summary

AIM_OF_TEMPERATURE = " The temperature, which was found on other photos, is meant to bring the answers closer to it."


class Picture(NamedTuple):
    """A picture on the page: its file, heading, hint for reading, alt text, and the function that draws it.

    `draw` returns False if there is nothing to show.
    """

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
    """Write the report into an existing folder, replacing an earlier one.

    `metrics` is the result of `metrics.measure` for `scores` (n, classes) and `labels` (n,); `paths` are the n photos.
    `facts` describe the model's training and are shown as they are.
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
    environment.globals |= {"confusions": summary.confusions, "headline": summary.headline, "quantity": text.quantity}
    environment.filters |= {"percent": text.percent, "interval": summary.in_percent}
    return environment.get_template("report.html")


def is_drawn(picture: Picture, folder: Path) -> bool:
    """Draw the picture, or remove the one of an earlier report."""
    drawn = picture.draw(folder / picture.file)
    if not drawn:
        (folder / picture.file).unlink(missing_ok=True)
    return drawn


def most_confident(
    scores: np.ndarray, labels: np.ndarray, classes: list[str], paths: list[Path]
) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """Return the photos with right and with wrong answers, each with its caption, the most confident first."""
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    right, wrong = [], []
    for i in np.argsort(-confidence, kind="stable"):
        answer = f"{classes[predicted[i]]} {text.percent(confidence[i], 0)}"
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
    """Yield the pictures in the order of the page."""
    before = metrics.get("calibration_without_temperature", {}).get("bins", [])
    yield Picture(
        "confusion-matrix.png",
        "Confusion matrix",
        "Rows are the true classes, columns the predicted ones; right answers are on the diagonal.",
        "Confusion matrix: the number of photos by true and predicted class",
        lambda path: plots.confusion_matrix(metrics["confusion"], classes, path),
    )
    yield Picture(
        "most-confident-wrong.png",
        "Most confident wrong answers",
        "Look here first: mislabelled photos, ambiguous classes, and anything the model has learned by mistake.",
        "Photos with the most confident wrong answers, and their true classes",
        lambda path: plots.gallery(wrong, "", path),
    )
    yield Picture(
        "most-confident-right.png",
        "Most confident right answers",
        "Photos that the model considers typical.",
        "Photos with the most confident right answers",
        lambda path: plots.gallery(right, "", path),
    )
    yield Picture(
        "calibration.png",
        "Calibration",
        "On the dashed line, 80% of the answers given with a probability of 80% are right; below it, the model is "
        "overconfident." + (AIM_OF_TEMPERATURE if before else ""),
        "Reliability diagram: the share of right answers by their probability",
        lambda path: plots.calibration(metrics["calibration"]["bins"], before, path),
    )
    yield Picture(
        "familiarity.png",
        "None of these",
        "A photo left of the dashed line is answered as none of the classes.",
        "Histograms of the familiarity of photos of the classes and, if there are any, of strangers",
        lambda path: plots.familiarity(metrics.get("familiarity", {}), path),
    )
    yield Picture(
        "learning-curves.png",
        "Learning curves",
        "Where the training loss falls and the validation loss rises, the model is overfitting.",
        "Learning curves: training and validation loss and accuracy by epoch",
        lambda path: plots.learning_curves(history, path),
    )
