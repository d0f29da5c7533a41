"""Rows on standard output: a table, JSON lines or CSV."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from classifier.prediction.rows import Row, predict
from classifier.serving.engine import LocalEngine


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


def run(engine: LocalEngine, files: Sequence[Path], format: str, out: IO[str] | None = None) -> int:
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
