"""What a long run has answered so far: a folder of parts, each there whole or not at all, so that it can go on."""

import csv
import fcntl
import importlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from classifier.atomic import appearing
from classifier.errors import DataError, StartupError

Record = dict[str, Any]  # at least `file`, and `error` where there is one
PART = re.compile(r"part-(\d{8})\.\w+")
NEEDS_PARQUET = "Parquet files need pyarrow: .venv/bin/pip install -c constraints.txt -e '.[ray]'"


class Format(NamedTuple):
    """How rows are written into a file and read again; all rows have the same columns."""

    write: Callable[[Iterable[Record], Sequence[str], Path], None]
    read: Callable[[Path], Iterator[Record]]


class PartWriter:
    """The parts below `folder`, which one run at a time adds to. Use as a context.

    `about` is what all runs have to have in common, such as the model. Raises DataError where they have not.
    """

    def __init__(self, folder: Path, format: str, columns: Sequence[str], about: dict[str, Any]) -> None:
        self._folder = folder
        self.format = format
        self._format = FORMATS[format]
        self._columns = columns
        self._about = {"format": format, "columns": list(columns)} | about

    def __enter__(self) -> "PartWriter":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._folder / ".lock", "w")  # held until __exit__
        try:
            take(self._lock, self._folder)
            self._check_about()
        except BaseException:
            self._lock.close()
            raise
        for left in self._folder.glob(".*.part"):  # of a run that was killed
            left.unlink()
        self._next = max((int(PART.fullmatch(path.name)[1]) for path in self.parts()), default=-1) + 1  # type: ignore[index]
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def parts(self) -> list[Path]:
        """The parts there are, oldest first."""
        return sorted(path for path in self._folder.iterdir() if PART.fullmatch(path.name))

    def rows(self) -> Iterator[Record]:
        """All rows there are."""
        for path in self.parts():
            yield from self._format.read(path)

    def add(self, rows: Sequence[Record]) -> None:
        """Another part, on disk when this returns."""
        if rows:
            self._next += 1  # first: whatever interrupts this, no part is ever written over
            with appearing(self._folder / f"part-{self._next - 1:08}.{self.format}") as part:
                self._format.write(rows, self._columns, part)

    def join(self, file: Path) -> None:
        """All rows in one file, which is there whole or not at all, in the place of the parts."""
        with appearing(file) as part:
            self._format.write(self.rows(), self._columns, part)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_about(self) -> None:
        path = self._folder / ".about.json"
        if not path.exists():
            with appearing(path) as part:
                part.write_text(json.dumps(self._about))
        for name, begun in json.loads(path.read_text()).items():
            if begun != self._about.get(name):
                raise DataError(
                    f"{self._folder} was begun with another {name} ({begun}); please choose another output."
                )


def take(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise DataError(f"Another run is writing into {folder}; please wait for it or choose another output.") from exc


def write_csv(rows: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def write_jsonl(rows: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def read_jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_parquet(rows: Iterable[Record], columns: Sequence[str], path: Path) -> None:
    arrow, parquet = pyarrow()
    kinds = {"file": arrow.string(), "error": arrow.string(), "sure": arrow.bool_(), "label": arrow.string()}
    schema = arrow.schema([(name, kinds.get(name.partition("_")[0], arrow.float64())) for name in columns])
    with parquet.ParquetWriter(path, schema) as writer:
        for some in batched(rows, 10_000):
            writer.write_table(arrow.Table.from_pylist(some, schema))


def read_parquet(path: Path) -> Iterator[Record]:
    _, parquet = pyarrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet files. Raises StartupError where they are not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise StartupError(NEEDS_PARQUET) from exc


def batched(rows: Iterable[Record], size: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


FORMATS = {
    "csv": Format(write_csv, read_csv),
    "jsonl": Format(write_jsonl, read_jsonl),
    "parquet": Format(write_parquet, read_parquet),
}
