"""Metrics, as text for a terminal."""

from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from classifier.evaluation.metrics import SCORES
from classifier.text import percent


def as_text(metrics: dict[str, Any], classes: list[str]) -> str:
    """The metrics to read in a terminal: what counts in a few lines, a table of the classes, the confusions."""
    table = Table("class", *(("photos" if name == "support" else name) for name in SCORES), box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in metrics["classes"].items():
        table.add_row(name, *(f"{row[score]:.3f}" for score in SCORES[:-1]), str(row["support"]))
    console = Console(width=50 + max(map(len, classes)) * 2, color_system=None, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    others = (f"{name}: {value}" for name, value in headline(metrics).items())
    lines = [in_words(metrics), *others, *capture.get().splitlines(), *confusions(metrics, classes)]
    return "\n".join(line.rstrip() for line in lines)


def in_words(metrics: dict[str, Any]) -> str:
    """The one sentence that counts: how often right, and how often without having learned anything."""
    photos, baseline = metrics["photos"], metrics["baseline"]
    return (
        f"{percent(metrics['accuracy'])} of {photos} photo{'s' * (photos != 1)} right "
        f"(always saying {baseline['class']}: {percent(baseline['accuracy'])})"
    )


def headline(metrics: dict[str, Any]) -> dict[str, str]:
    """The numbers beside the accuracy, by what they are called; only those that there are."""
    numbers = {f"Right within the first {k}": percent(share) for k, share in metrics["top_k"].items()}
    if metrics["auc"] is not None:
        numbers["Area under the ROC curve"] = f"{metrics['auc']:.3f}"
    numbers["F1, mean of the classes"] = f"{metrics['averages']['macro']['f1']:.3f}"
    numbers["Cross-entropy"] = f"{metrics['loss']:.3f}"
    numbers["Calibration error"] = percent(metrics["calibration"]["error"])
    if limited := metrics.get("with_threshold"):
        numbers[f"Answered, with a threshold of {100 * limited['threshold']:.3g} %"] = percent(limited["answered"])
        if limited["accuracy_of_answered"] is not None:
            numbers["Right, of the answered"] = percent(limited["accuracy_of_answered"])
    return numbers


def confusions(metrics: dict[str, Any], classes: list[str], most: int = 5) -> list[str]:
    """The most frequent mistakes, such as "roses taken for tulips: 4"."""
    wrong = np.array(metrics["confusion"])
    np.fill_diagonal(wrong, 0)
    ranked = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(classes)) for place in ranked]
    return [f"{classes[i]} taken for {classes[j]}: {wrong[i, j]}" for i, j in pairs if wrong[i, j]]
