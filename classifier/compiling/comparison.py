"""How a compiled model compares with the model it was made from: answers, accuracy, speed and memory."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self

import numpy as np

from classifier.contract import ServedModel
from classifier.errors import DataError
from classifier.text import percent, quantity

LEAST_AGREEMENT, LARGEST_DROP = 0.97, 0.005  # of the photos
ROUNDS, BATCH = 5, 8


@dataclass(frozen=True)
class Agreement:
    """Of `photos` photos, the share that keeps its first name, and how far the probabilities of a photo move."""

    photos: int
    same: float
    mean: float
    largest: float

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> Self:
        """Compare probabilities, float32 (n, classes), of the same photos."""
        moved = np.abs(after - before).max(axis=1)
        same = (before.argmax(axis=1) == after.argmax(axis=1)).mean()
        return cls(len(before), float(same), float(moved.mean()), float(moved.max()))


@dataclass(frozen=True)
class Pair:
    """A figure of the model in float32, and of the compiled one; None where it was not measured."""

    before: float | None
    after: float | None


@dataclass(frozen=True)
class Accuracy:
    """The share of labelled photos whose first name is right, before and after."""

    photos: int
    before: float
    after: float

    def row(self) -> tuple[str, str, str]:
        """Return the row of a table: its name and both figures."""
        return f"right, of {quantity(self.photos, 'labelled photo')}", percent(self.before), percent(self.after)


@dataclass(frozen=True)
class Comparison:
    """All of it; times are milliseconds a photo, memory is in MB."""

    agreement: Agreement
    accuracy: Accuracy | None
    alone: Pair
    in_batch: Pair
    memory: Pair

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self, precision: str) -> str:
        """Return the comparison for a terminal."""
        agreement, accuracy = self.agreement, self.accuracy
        rows = [
            ("", "float32", precision),
            *([accuracy.row()] if accuracy else []),
            ("milliseconds, a photo alone", *figures(self.alone, 1)),
            (f"milliseconds a photo, {BATCH} together", *figures(self.in_batch, 1)),
            ("memory, MB", *figures(self.memory, 0)),
        ]
        width = max(len(row[0]) for row in rows)
        table = [f"{name:{width}}  {before:>9}  {after:>9}" for name, before, after in rows]
        kept = (
            f"{percent(agreement.same)} of {quantity(agreement.photos, 'photo')} keep their first name; "
            f"probabilities move by {agreement.mean:.3f} on average and by {agreement.largest:.3f} at most."
        )
        return "\n".join([kept, *table])


def figures(pair: Pair, decimals: int) -> tuple[str, str]:
    before, after = ("unknown" if each is None else f"{each:,.{decimals}f}" for each in (pair.before, pair.after))
    return before, after


def times(source: ServedModel, compiled: ServedModel, images: np.ndarray) -> Pair:
    """Return the milliseconds a photo of two models that run `images` in turns."""
    rounds = [(seconds(source, images), seconds(compiled, images)) for _ in range(ROUNDS)]
    before, after = (1000 * median(each) / len(images) for each in zip(*rounds, strict=True))
    return Pair(round(before, 2), round(after, 2))


def seconds(model: Callable[[np.ndarray], Any], images: np.ndarray) -> float:
    started = time.perf_counter()
    model(images)
    return time.perf_counter() - started


def check(comparison: Comparison, precision: str) -> None:
    """Raise DataError if the compiled model answers too differently."""
    agreement, accuracy = comparison.agreement, comparison.accuracy
    way_out = "photos (--photos) like those that the site will see may help, and --force writes it all the same"
    if agreement.same < LEAST_AGREEMENT:
        raise DataError(
            f"in {precision}, {percent(agreement.same)} of {quantity(agreement.photos, 'photo')} keep their first "
            f"name, where at least {percent(LEAST_AGREEMENT, 0)} must; {way_out}."
        )
    if accuracy and round(accuracy.before - accuracy.after, 9) > LARGEST_DROP:
        raise DataError(
            f"in {precision}, accuracy falls from {percent(accuracy.before)} to {percent(accuracy.after)}, by more "
            f"than {100 * LARGEST_DROP:g} points; {way_out}."
        )
