"""Plots of a model's training and answers: each function writes a PNG, or returns False if there is nothing to show."""

import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image, ImageOps

from classifier.contract import FAMILIAR
from classifier.errors import ClassifierError
from classifier.photos import decode

DPI = 120
MAX_COUNTS = 30  # with more classes, the confusion matrix has colours only
MAX_NAMES = 200  # with more classes, not every row is named
COLUMNS, MAX_PICTURES, THUMBNAIL = 4, 12, (320, 320)
TRAINING, VALIDATION, BEST = "tab:blue", "tab:orange", "tab:gray"


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw class names as they are: `$` starts no formula, and a script without a font here causes no warning."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support", UserWarning)
        yield


@plain_text()
def learning_curves(history: dict[str, list[float]], path: Path) -> bool:
    """Plot training and validation loss and accuracy by epoch, and mark the lowest `val_loss`."""
    epochs = len(history.get("loss", []))
    if not epochs:
        return False
    figure = Figure((9, 3.6), layout="constrained")
    for axes, key, title in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True):
        draw_curves(axes, history, key)
        axes.set(title=title, xlabel="Epoch", xlim=(0.5, epochs + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    return save(figure, path)


def draw_curves(axes: Axes, history: dict[str, list[float]], key: str) -> None:
    curves = ((key, "training", TRAINING), (f"val_{key}", "validation", VALIDATION))
    for name, label, colour in curves:
        if values := history.get(name):
            axes.plot(range(1, len(values) + 1), values, ".-", color=colour, label=label)
    best = best_epoch(history.get("val_loss", []))
    if best:
        axes.axvline(best, color=BEST, linestyle="--", label=f"best epoch: {best}")


def best_epoch(losses: list[float]) -> int | None:
    """Return the epoch of the lowest loss, counted from 1; None if no loss is a number."""
    numbers = [(loss, epoch) for epoch, loss in enumerate(losses, start=1) if math.isfinite(loss)]
    return min(numbers)[1] if numbers else None


@plain_text()
def confusion_matrix(matrix: list[list[int]], classes: list[str], path: Path) -> bool:
    """Plot true classes by predicted ones; colours are shares of a row, so that rare classes are visible."""
    counts = np.array(matrix)  # (classes, classes)
    if not counts.any():
        return False
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.45 * min(len(classes), MAX_COUNTS), 0.12 * min(len(classes), MAX_NAMES))  # inches
    figure = Figure((side + 2.5, side + 1.5), layout="constrained")
    axes = figure.subplots()
    few = len(classes) <= MAX_COUNTS
    # Without numbers, even a single mistake must be visible.
    shown = axes.imshow(shares, cmap="Blues", norm=PowerNorm(1 if few else 0.5, vmin=0, vmax=1))
    name_rows(axes, classes)
    if few:
        write_counts(axes, counts, shares)
    bar = figure.colorbar(shown, shrink=3 / side, format=PercentFormatter(1))
    bar.set_label("Share of the photos of a class")
    return save(figure, path)


def name_rows(axes: Axes, classes: list[str]) -> None:
    ticks = range(0, len(classes), math.ceil(len(classes) / MAX_NAMES))
    names = [short(classes[i]) for i in ticks]
    size = 9 if len(classes) <= MAX_COUNTS else 6
    axes.set_xticks(ticks, names, rotation=90 if len(classes) > 8 else 45, ha="right", rotation_mode="anchor")
    if len(classes) > 8:
        for label in axes.get_xticklabels():
            label.set(va="center")
    axes.set_yticks(ticks, names)
    axes.tick_params(labelsize=size)
    axes.set(xlabel="Predicted", ylabel="True")


def write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black" if count else "lightgray"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, size=9)


@plain_text()
def calibration(bins: list[dict[str, Any]], before: list[dict[str, Any]], path: Path) -> bool:
    """Plot accuracy and number of answers by confidence, and the accuracy without the temperature.

    `bins` are those of `metrics.measure`, `before` are those without the temperature, if there is one.
    """
    filled = [bin for bin in bins if bin["count"]]
    if not filled:
        return False
    lows, widths = [bin["low"] for bin in filled], [bin["high"] - bin["low"] for bin in filled]
    figure = Figure((5.5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.bar(lows, [bin["accuracy"] for bin in filled], widths, align="edge", edgecolor="white", alpha=0.4)
    upper.plot([0, 1], [0, 1], "--", color=BEST, label="perfect calibration")
    if before:
        draw_reliability(upper, before, "o:", color=VALIDATION, label="before the temperature")
    draw_reliability(upper, bins, "o-", color=TRAINING, label="after the temperature" if before else "this model")
    lower.bar(lows, [bin["count"] for bin in filled], widths, align="edge", edgecolor="white", alpha=0.4)
    upper.set(ylabel="Right", xlim=(0, 1), ylim=(0, 1.03))
    lower.set(ylabel="Photos", xlabel="Probability of the answer")
    upper.yaxis.set_major_formatter(PercentFormatter(1))
    lower.xaxis.set_major_formatter(PercentFormatter(1))
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    upper.legend(loc="upper left")
    return save(figure, path)


def draw_reliability(axes: Axes, bins: list[dict[str, Any]], style: str, **options: str) -> None:
    points = [(bin["confidence"], bin["accuracy"]) for bin in bins if bin["count"]]
    axes.plot(*zip(*points, strict=True), style, **options)  # type: ignore[arg-type]


@plain_text()
def familiarity(found: dict[str, Any], path: Path) -> bool:
    """Plot the familiarity of photos of the classes and of strangers; `found` is that of `metrics.familiarity`."""
    if not found:
        return False
    figure = Figure((7, 3.6), layout="constrained")
    axes = figure.subplots()
    draw_shares(axes, found, "photos of the classes", TRAINING)
    if strangers := found.get("strangers"):
        draw_shares(axes, strangers, "strangers", VALIDATION)
    axes.axvline(FAMILIAR, color=BEST, linestyle="--", label="threshold")
    axes.set(xlabel="Familiarity", ylabel="Share of the photos", xlim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return save(figure, path)


def draw_shares(axes: Axes, found: dict[str, Any], label: str, colour: str) -> None:
    shares = np.array(found["counts"]) / max(1, found["photos"])
    lows = np.arange(len(shares)) / len(shares)
    axes.bar(lows, shares, 1 / len(shares), align="edge", edgecolor="white", alpha=0.5, color=colour, label=label)


@plain_text()
def gallery(pictures: Iterable[tuple[Path, str]], title: str, path: Path) -> bool:
    """Show the first twelve readable photos, each with its caption."""
    shown = list(islice(readable(pictures), MAX_PICTURES))
    if not shown:
        return False
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure((2.4 * COLUMNS, 2.7 * rows + 0.4), layout="constrained")
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.set(xticks=[], yticks=[])  # invisible ones would be laid out all the same
        axes.set_axis_off()
    for axes, (image, caption) in zip(figure.axes, shown, strict=False):
        axes.imshow(image)
        axes.set_title("\n".join(textwrap.wrap(clean(caption), 30)[:3]), size=9)
    figure.suptitle(clean(title))
    return save(figure, path)


def readable(pictures: Iterable[tuple[Path, str]]) -> Iterator[tuple[Image.Image, str]]:
    for path, caption in pictures:
        try:
            image = decode.read(path.read_bytes())
        except (OSError, ClassifierError):
            continue
        yield ImageOps.pad(image, THUMBNAIL, color="white", centering=(0.5, 0)), caption


def short(name: str, most: int = 30) -> str:
    name = clean(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def clean(text: str) -> str:
    """Return the text on one line, without the surrogates of a file name that is not UTF-8."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def save(figure: Figure, path: Path) -> bool:
    figure.set_dpi(DPI)
    # Unlike `savefig`, it lays the figure out and draws it once.
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
    return True
