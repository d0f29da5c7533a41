"""Rows as CSV, JSON Lines or Parquet: written to a file and read back."""

import csv
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from classifier.errors import StartupError
from classifier.prediction.rows import Row

PARQUET_ROWS = 10_000  # written at once
RANK = "_0123456789"  # at the end of a column
NEEDS_PARQUET = "Parquet files need pyarrow: .venv/bin/pip install -c constraints.txt -e '.[ray]'"

Record = dict[str, Any]  # at least `file`, and `error` if there is one


class Format(NamedTuple):
    """A file format: turn a row into a record, write records with the same columns, and read them back."""

    record: Callable[[Row], Record]
    write: Callable[[Iterable[Record], Sequence[str], Path], None]
    read: Callable[[Path], Iterator[Record]]


def columns(top: int) -> list[str]:
    """Return the columns of a table of rows with at most `top` predictions, most probable first."""
    ranks = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("label", "score")]
    return ["file", "error", "sure", "broader", "broader_score", "familiar", "familiarity", *ranks]


def flat(row: Row) -> Record:
    """Return the row as a record with the columns of `columns`."""
    record: Record = {"file": printable_path(row.path), "error": row.error, "sure": row.sure}
    if row.broader:
        record |= {"broader": row.broader.label, "broader_score": round(row.broader.score, 6)}
    if row.familiarity is not None:
        record |= {"familiar": row.familiar, "familiarity": round(row.familiarity, 6)}
    for rank, best in enumerate(row.predictions, start=1):
        record |= {f"label_{rank}": best.label, f"score_{rank}": round(best.score, 6)}
    return record


def nested(row: Row) -> Record:
    """Return the row as a JSON object with a list of predictions."""
    optional = {
        "sure": row.sure,
        "broader": row.broader and asdict(row.broader),
        "familiar": row.familiar,
        "familiarity": row.familiarity,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    outcome = {"error": row.error} if row.error else {"predictions": [asdict(best) for best in row.predictions]}
    return {"file": printable_path(row.path)} | given | outcome


def printable_path(path: Path | str) -> str:
    """Return a file name as text that can be encoded, even if the name is not valid UTF-8."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def failures(records: Iterable[Record]) -> dict[str, bool]:
    """Return for each file whether it has an error."""
    return {record["file"]: bool(record.get("error")) for record in records}


def write_csv(records: Iterable[Record], columns: Sequence[str], out: IO[str]) -> None:
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows(records)


def write_csv_file(records: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        write_csv(records, columns, out)


def read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def write_jsonl(records: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)


def read_jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_parquet(records: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    arrow, parquet = pyarrow()
    texts, flags = ("file", "error", "broader", "label"), ("sure", "familiar")
    types = dict.fromkeys(texts, arrow.string()) | dict.fromkeys(flags, arrow.bool_())
    schema = arrow.schema([(name, types.get(name.rstrip(RANK), arrow.float64())) for name in columns])
    remaining = iter(records)
    with parquet.ParquetWriter(path, schema) as writer:
        while some := list(islice(remaining, PARQUET_ROWS)):
            writer.write_table(arrow.Table.from_pylist(some, schema))


def read_parquet(path: Path) -> Iterator[Record]:
    _, parquet = pyarrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module. Raises StartupError if they are not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise StartupError(NEEDS_PARQUET) from exc


FORMATS = {
    "csv": Format(flat, write_csv_file, read_csv),
    "jsonl": Format(nested, write_jsonl, read_jsonl),
    "parquet": Format(flat, write_parquet, read_parquet),
}
