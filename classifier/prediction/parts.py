"""The answers of a long run so far: a folder of parts, each complete or absent, so that the run can continue."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from classifier.atomic import writing
from classifier.errors import DataError
from classifier.prediction.formats import FORMATS, Record, failures
from classifier.prediction.rows import Row

PART = re.compile(r"part-(\d{8})\.\w+")
PART_ROWS = 256  # a killed run repeats at most so many photos, or those of the last PART_S seconds
PART_S = 30


class PartWriter:
    """Writer of the parts in `folder`, for one run at a time. Use as a context manager.

    `suffix` is that of the parts; `about` must be the same for all runs, such as the model.
    Raises DataError if it is not, or if another run is writing.
    """

    def __init__(self, folder: Path, suffix: str, columns: Sequence[str], about: dict[str, Any]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._format = FORMATS[suffix]
        self._columns = columns
        self._about = {"format": suffix, "columns": list(columns)} | {k: without_place(v) for k, v in about.items()}
        self._waiting: list[Record] = []
        self._written = time.monotonic()

    def __enter__(self) -> "PartWriter":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._folder / ".lock", "w")  # held until __exit__
        try:
            take(self._lock, self._folder)
            self._check_about()
        except BaseException:
            self._lock.close()
            raise
        for left in self._folder.glob(".*.part"):  # by a run that was killed
            left.unlink()
        numbers = [int(match[1]) for path in self._parts() if (match := PART.fullmatch(path.name))]
        self._next = max(numbers, default=-1) + 1
        self.failed = failures(self._records())  # on disk: for each file, whether it has an error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def add(self, row: Row) -> None:
        """Add a row, which is on disk after a call of `flush`, PART_ROWS more rows or PART_S seconds."""
        self._waiting.append(self._format.record(row))
        if len(self._waiting) >= PART_ROWS or time.monotonic() - self._written > PART_S:
            self.flush()

    def flush(self) -> None:
        """Write the rows added since the last part as another one, which is on disk when this returns."""
        records, self._waiting, self._written = self._waiting, [], time.monotonic()
        if records:  # taken first, so that an interrupted part is done again but never written twice
            self._next += 1  # and counted first, so that no part is ever overwritten
            with writing(self._folder / f"part-{self._next - 1:08}.{self._suffix}") as part:
                self._format.write(records, self._columns, part)
            self.failed |= failures(records)

    def join(self, file: Path) -> None:
        """Replace the parts by one file, which appears complete or not at all."""
        with writing(file) as part:
            self._format.write(self._records(), self._columns, part)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _records(self) -> Iterator[Record]:
        for path in self._parts():
            yield from self._format.read(path)

    def _parts(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if PART.fullmatch(path.name))

    def _check_about(self) -> None:
        path = self._folder / ".about.json"
        if not path.exists():
            with writing(path) as part:
                part.write_text(json.dumps(self._about))
        for name, begun in json.loads(path.read_text()).items():
            if begun != self._about.get(name):
                raise DataError(
                    f"{self._folder} was begun with another {name} ({begun}); please choose another output."
                )


def without_place(setting: Any) -> Any:
    """Return a path as its name and a digest, which distinguishes paths of one name; any other setting as it is."""
    if not isinstance(setting, str) or "/" not in setting:
        return setting
    return f"{Path(setting).name} ({hashlib.sha256(os.fsencode(setting)).hexdigest()[:8]})"


def take(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise DataError(f"Another run is writing into {folder}; please wait for it or choose another output.") from exc
