"""Very many photos from the command line: answers go to disk part by part, and the same command goes on where it ended.

`engine` is here, or a cluster's: the rows come from one of two iterators, and are written alike.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.errors import DataError
from classifier.photos import files
from classifier.prediction.output import as_json
from classifier.prediction.parts import FORMATS, PartWriter, Record, pyarrow
from classifier.prediction.rows import Row
from classifier.progress import progress

log = logging.getLogger(__name__)

PART_ROWS = 256  # what a run that is killed has to do again: so many photos, or those of this many seconds
PART_S = 30
TELL_EVERY_S = 10


@dataclass(frozen=True)
class Run:
    """What to do: `answer` gives a row for each of the files, in any order, of at most `top` classes.

    `about` is what a run that goes on has to have in common with the one that began: the model, say.
    """

    answer: Callable[[Sequence[str]], Iterator[Row]]
    top: int
    about: dict[str, Any]

    def into(self, output: Path, files: Sequence[str]) -> int:
        """A row for every file that has none yet; returns how many of all could not be answered.

        `output` is a file, written when all is done (until then `<output>.parts/` grows), or a folder of CSV parts.
        Raises DataError, and KeyboardInterrupt that tells how far it came.
        """
        folder, format = parts_of(output)
        if output.is_file():
            return finished(output, folder, format, files)
        with PartWriter(folder, format, columns(self.top), self.about) as parts:
            failed = failures(parts.rows())
            todo = [file for file in files if printable_path(file) not in failed]
            answered = with_progress(self.answer(todo), len(failed), len(failed) + len(todo))
            for rows in in_parts(answered, parts, len(failed), len(failed) + len(todo)):
                failed |= failures(as_row(row, format) for row in rows)
            if folder != output:
                parts.join(output)
        return sum(failed.values())


def find(paths: Iterable[Path]) -> list[str]:
    """The files and all files below the folders, each once, in order. Raises DataError for a path that is not there."""
    found: dict[str, None] = {}
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; expected a photo or a folder of photos.")
        found |= dict.fromkeys(sorted(map(str, files.files(path))) if path.is_dir() else [str(path)])
    return list(found)


def parts_of(output: Path) -> tuple[Path, str]:
    """The folder where parts are in_parts, and their format. Raises DataError or StartupError."""
    format = output.suffix.removeprefix(".")
    if output.is_dir() or not format:
        return output, "csv"
    if format not in FORMATS:
        raise DataError(f"{output} must end in {', '.join(f'.{name}' for name in FORMATS)}, or be a folder.")
    if format == "parquet":
        pyarrow()
    return output.with_name(f"{output.name}.parts"), format


def finished(output: Path, folder: Path, format: str, files: Sequence[str]) -> int:
    """What an earlier run made has all that is asked for: how many of it failed. Raises DataError if it has not."""
    failed = failures(FORMATS[format].read(output))
    if not all(printable_path(file) in failed for file in files):
        raise DataError(f"{output} is there already, of other files; please choose another output or remove it.")
    left = (row["file"] for part in folder.glob(f"part-*.{format}") for row in FORMATS[format].read(part))
    if all(file in failed for file in left):  # of a run that was killed at its very end
        shutil.rmtree(folder, ignore_errors=True)
    log.info("%s is there already, with all %d files.", output, len(files))
    return sum(failed.values())


def in_parts(rows: Iterator[Row], parts: PartWriter, done: int, total: int) -> Iterator[list[Row]]:
    """The same rows, some at a time, once they are on disk."""
    waiting: list[Row] = []
    since = time.monotonic()

    def write() -> list[Row]:
        nonlocal waiting, since, done
        ready, waiting, since = waiting, [], time.monotonic()  # first: an interrupted part is done again, never twice
        parts.add([as_row(row, parts.format) for row in ready])
        done += len(ready)
        return ready

    try:
        with closing(rows):  # type: ignore[type-var]
            for row in rows:
                waiting.append(row)
                if len(waiting) >= PART_ROWS or time.monotonic() - since > PART_S:
                    yield write()
        yield write()
    except KeyboardInterrupt as exc:
        write()
        raise KeyboardInterrupt(f"Interrupted; {done} of {total} files are done. The same command goes on.") from exc


def with_progress(rows: Iterator[Row], done: int, total: int) -> Iterator[Row]:
    """The same rows, with a bar on a terminal and a line now and then elsewhere."""
    if done:
        log.info("%d of %d files are done already.", done, total)
    started = last = time.monotonic()
    for n, row in enumerate(progress(rows, "Predicting", total, done), start=1):
        yield row
        if (now := time.monotonic()) - last > TELL_EVERY_S:
            log.info("%d of %d files, %.1f a second", done + n, total, n / (now - started))
            last = now


def columns(top: int) -> list[str]:
    return ["file", "error", "sure", *(f"{name}_{rank}" for rank in range(1, top + 1) for name in ("label", "score"))]


def as_row(row: Row, format: str) -> Record:
    """The row as the file has it: nested in JSON, else flat, with the columns of `columns`."""
    file = printable_path(str(row.path))
    if format == "jsonl":
        return as_json(row) | {"file": file}
    flat: Record = {"file": file, "error": row.error, "sure": row.sure}
    for rank, best in enumerate(row.predictions, start=1):
        flat |= {f"label_{rank}": best.label, f"score_{rank}": round(best.score, 6)}
    return flat


def printable_path(file: str) -> str:
    """A file's name as text, also where it is none."""
    return file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def failures(rows: Iterable[Record]) -> dict[str, bool]:
    """Of every file whether it could not be answered."""
    return {row["file"]: bool(row.get("error")) for row in rows}
