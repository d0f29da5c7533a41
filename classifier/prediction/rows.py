"""The engine from the command line: files and folders in, a row per photo out."""

import csv
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from classifier.contract import Prediction
from classifier.dataset import reading
from classifier.errors import ClassifierError, DataError
from classifier.progress import progress
from classifier.serving.engine import Engine

AT_ONCE = 64  # photos on their way; as many as fill the largest batch while others are decoded


class Row(NamedTuple):
    """A file and either its predictions, most probable first, or why there are none."""

    path: Path
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None
    sure: bool | None = None  # whether the first reaches the model's threshold, if it has one


def find(paths: Iterable[Path]) -> list[Path]:
    """The files, and all files below the folders, in order. Raises DataError for a path that is not there."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; expected a photo or a folder of photos.")
        found += sorted(reading.files(path)) if path.is_dir() else [path]
    return found


def predict(engine: Engine, paths: Sequence[Path]) -> Iterator[Row]:
    """A row for every file, in order, as they come, with a progress bar."""
    yield from progress(rows_of(engine, paths), "Predicting", len(paths))


def rows_of(engine: Engine, paths: Iterable[Path | str]) -> Iterator[Row]:
    """A row for every file, in order, as they come; the engine batches them. Memory does not grow with their number."""
    pool = ThreadPoolExecutor(AT_ONCE)
    asked: deque[Future[Row]] = deque()
    try:
        for path in paths:
            asked.append(pool.submit(row_of, engine, Path(path)))
            if len(asked) >= 4 * AT_ONCE:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def row_of(engine: Engine, path: Path) -> Row:
    try:
        (answer,) = engine.classify([reading.content(path)])
    except ClassifierError as error:
        return Row(path, error=str(error))
    if isinstance(answer, ClassifierError):
        return Row(path, error=str(answer))
    return answered(path, answer.predictions, engine.model.threshold)


def answered(path: Path, predictions: tuple[Prediction, ...], threshold: float) -> Row:
    return Row(path, predictions, sure=predictions[0].score >= threshold if threshold else None)


def write_table(rows: Iterable[Row], out: IO[str]) -> None:
    table = Table("photo", "class", "probability")
    for row in rows:
        if row.error:
            table.add_row(str(row.path), "-", row.error)
        else:
            best = row.predictions[0]
            doubt = "not sure, perhaps " if row.sure is False else ""
            table.add_row(str(row.path), doubt + best.label, f"{best.score:.2%}")
    width = None if out.isatty() else 10_000  # in a file or a pipe no path is to be broken
    Console(file=out, markup=False, emoji=False, highlight=False, width=width).print(table)


def write_json(rows: Iterable[Row], out: IO[str]) -> None:
    """A JSON object per line and photo."""
    for row in rows:
        print(json.dumps(as_json(row)), file=out)


def as_json(row: Row) -> dict[str, Any]:
    sure = {} if row.sure is None else {"sure": row.sure}
    outcome = {"error": row.error} if row.error else {"predictions": [asdict(best) for best in row.predictions]}
    return {"file": str(row.path)} | sure | outcome


def write_csv(rows: Iterable[Row], out: IO[str]) -> None:
    """A line per photo: file, error, and label and score of every listed class, most probable first."""
    writer, remaining = csv.writer(out), iter(rows)
    first = []  # up to the first answer, which tells how many columns there are
    for row in remaining:
        first.append(row)
        if row.predictions:
            break
    ranks = range(1, len(first[-1].predictions) + 1) if first else range(0)
    writer.writerow(["file", "error", *(f"{name}_{rank}" for rank in ranks for name in ("label", "score"))])
    for row in chain(first, remaining):
        ranked = [value for best in row.predictions for value in (best.label, f"{best.score:.6f}")]
        writer.writerow([row.path, row.error or "", *(ranked or [""] * 2 * len(ranks))])


WRITERS: dict[str, Callable[[Iterable[Row], IO[str]], None]] = {
    "table": write_table, "json": write_json, "csv": write_csv
}  # fmt: skip


def run(engine: Engine, files: Sequence[Path], format: str, out: IO[str] | None = None) -> int:
    """Predict and write; returns how many files could not be answered, and lists those."""
    failed: list[Row] = []

    def noted(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if row.error:
                failed.append(row)
            yield row

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names are bytes, and come out as they are
    out = out or sys.stdout
    WRITERS[format](noted(predict(engine, files)), out)
    out.flush()
    for row in failed:
        print(f"{row.path}: {row.error}", file=sys.stderr)
    return len(failed)
