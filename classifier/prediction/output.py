"""Rows on standard output: a table, JSON Lines or CSV."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Literal

from rich.console import Console
from rich.table import Table

from classifier.prediction.formats import columns, flat, nested, write_csv
from classifier.prediction.rows import Row, predict
from classifier.serving.engine import LocalEngine
from classifier.text import percent

Output = Literal["table", "json", "csv"]


def run(engine: LocalEngine, files: Sequence[Path], format: Output, top: int, out: IO[str] | None = None) -> int:
    """Predict and write, then list the files that could not be answered, and return their number."""
    failed: list[Row] = []
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names are bytes, and are written as they are
    out = out or sys.stdout
    write(noting_failures(predict(engine, files), failed), format, top, out)
    out.flush()
    for row in failed:
        print(f"{row.path}: {row.error}", file=sys.stderr)
    return len(failed)


def noting_failures(rows: Iterable[Row], failed: list[Row]) -> Iterator[Row]:
    for row in rows:
        if row.error:
            failed.append(row)
        yield row


def write(rows: Iterable[Row], format: Output, top: int, out: IO[str]) -> None:
    if format == "table":
        write_table(rows, out)
    elif format == "json":
        out.writelines(json.dumps(nested(row) | {"file": str(row.path)}) + "\n" for row in rows)
    else:
        write_csv((flat(row) | {"file": str(row.path)} for row in rows), columns(top), out)


def write_table(rows: Iterable[Row], out: IO[str]) -> None:
    table = Table("photo", "class", "probability")
    for row in rows:
        if row.error:
            table.add_row(str(row.path), "-", row.error)
        else:
            best = row.predictions[0]
            table.add_row(str(row.path), f"{reservation(row)}{best.label}", percent(best.score, 2))
    width = None if out.isatty() else 10_000  # no path is broken over lines in a file or a pipe
    Console(file=out, markup=False, emoji=False, highlight=False, width=width).print(table)


def reservation(row: Row) -> str:
    """Return what to write before the first class if it is not sure: "dog, perhaps "."""
    if row.familiar is False:
        return "none of these, nearest "
    if row.sure is not False:
        return ""
    return f"{row.broader.label if row.broader else 'not sure'}, perhaps "
