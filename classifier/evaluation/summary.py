"""Metrics as text, for a terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from classifier.evaluation.metrics import SCORES
from classifier.text import percent, quantity

NARROW = 0.03  # whole percentages would round away much of a narrower interval


def as_text(metrics: dict[str, Any], classes: list[str]) -> str:
    """Return the metrics for a terminal: the main figures, a table of the classes, the most frequent mistakes."""
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
    """Return the sentence that matters most: the accuracy with its 95% interval, and that of the baseline."""
    photos, baseline = quantity(metrics["photos"], "photo"), metrics["baseline"]
    always = f"always predicting {baseline['class']}: {percent(baseline['accuracy'])}"
    return (
        f"{percent(metrics['accuracy'])} of {photos} right "
        f"(95% interval: {in_percent(metrics['accuracy_interval'])}; {always})"
    )


def in_percent(interval: Sequence[float]) -> str:
    """Return an interval such as "68 to 88%", with decimals if it is narrow."""
    low, high = interval
    decimals = 0 if high - low > NARROW else 1
    return f"{100 * low:.{decimals}f} to {percent(high, decimals)}"


def headline(metrics: dict[str, Any]) -> dict[str, str]:
    """Return the other main figures by name, except those that were not computed."""
    numbers = {f"Right within the top {k}": percent(share) for k, share in metrics["top_k"].items()}
    if metrics["auc"] is not None:
        numbers["Area under the ROC curve"] = f"{metrics['auc']:.3f}"
    numbers["F1, macro average"] = f"{metrics['averages']['macro']['f1']:.3f}"
    numbers["Cross-entropy"] = f"{metrics['loss']:.3f}"
    numbers["Calibration error"] = percent(metrics["calibration"]["error"])
    if before := metrics.get("calibration_without_temperature"):
        numbers["Calibration error without the temperature"] = percent(before["error"])
    if limited := metrics.get("with_threshold"):
        numbers[f"Answered, with a threshold of {100 * limited['threshold']:.3g}%"] = percent(limited["answered"])
        if limited["accuracy_of_answered"] is not None:
            interval = in_percent(limited["interval_of_answered"])
            numbers["Right, of those answered"] = f"{percent(limited['accuracy_of_answered'])} ({interval})"
    return numbers | strangers(metrics.get("familiarity", {}))


def strangers(familiarity: dict[str, Any]) -> dict[str, str]:
    """Return the figures of "none of these" by name; none if the model does not judge that."""
    numbers = {}
    if familiarity:
        numbers["Refused as none of these"] = percent(familiarity["refused"])
    if theirs := familiarity.get("strangers"):
        numbers[f"Refused, of {quantity(theirs['photos'], 'stranger')}"] = percent(theirs["refused"])
        numbers["Area under the ROC curve against strangers"] = f"{theirs['auroc']:.3f}"
    return numbers


def confusions(metrics: dict[str, Any], classes: list[str], most: int = 5) -> list[str]:
    """Return the most frequent mistakes, such as "roses taken for tulips: 4"."""
    wrong = np.array(metrics["confusion"])
    np.fill_diagonal(wrong, 0)
    ranked = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(classes)) for place in ranked]
    return [f"{classes[i]} taken for {classes[j]}: {wrong[i, j]}" for i, j in pairs if wrong[i, j]]
