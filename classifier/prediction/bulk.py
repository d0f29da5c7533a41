"""A run over very many photos that continues where it ended: answers go to disk part by part."""

import logging
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.errors import DataError
from classifier.prediction.formats import FORMATS, columns, failures, printable_path, pyarrow
from classifier.prediction.parts import PartWriter
from classifier.prediction.rows import Row
from classifier.progress import progress

log = logging.getLogger(__name__)

LOG_EVERY_S = 10


@dataclass(frozen=True)
class Run:
    """A run over files: `answer` yields a row of at most `top` classes for each of them, in any order.

    The rows come from an engine in this process or from a cluster. `about` describes what a run that continues must
    have in common with the one that began, such as the model.
    """

    answer: Callable[[Sequence[str]], Iterator[Row]]
    top: int
    about: dict[str, Any]

    def into(self, output: Path, paths: Iterable[Path]) -> int:
        """Write a row for every file that has none yet, and return the number of files that could not be answered.

        `output` is a file, written at the end (until then `<output>.parts/` grows), or a folder of CSV parts.
        Raises DataError, and a KeyboardInterrupt whose message has the number of files that are done.
        """
        files = list(dict.fromkeys(map(str, paths)))
        folder, suffix = parts_of(output)
        if output.is_file():
            return finished(output, folder, suffix, files)
        with PartWriter(folder, suffix, columns(self.top), self.about) as parts:
            self._answer([file for file in files if printable_path(file) not in parts.failed], parts)
            if folder != output:
                parts.join(output)
            return sum(parts.failed.values())

    def _answer(self, todo: Sequence[str], parts: PartWriter) -> None:
        """Add a row for each of these files to `parts`, and keep what is there in case of an interrupt."""
        done, total = len(parts.failed), len(parts.failed) + len(todo)
        try:
            with closing(with_progress(self.answer(todo), done, total)) as rows:
                for row in rows:
                    parts.add(row)
            parts.flush()
        except KeyboardInterrupt as exc:
            parts.flush()
            raise KeyboardInterrupt(
                f"Interrupted; {len(parts.failed)} of {total} files are done. The same command continues."
            ) from exc


def parts_of(output: Path) -> tuple[Path, str]:
    """Return the folder of the parts, and their suffix. Raises DataError or StartupError."""
    suffix = output.suffix.removeprefix(".")
    if output.is_dir() or not suffix:
        return output, "csv"
    if suffix not in FORMATS:
        raise DataError(f"{output} must end in {', '.join(f'.{name}' for name in FORMATS)}, or be a folder.")
    if suffix == "parquet":
        pyarrow()
    return output.with_name(f"{output.name}.parts"), suffix


def finished(output: Path, folder: Path, suffix: str, files: Sequence[str]) -> int:
    """Return the number of failures in the output of an earlier run. Raises DataError if it lacks one of the files."""
    failed = failures(FORMATS[suffix].read(output))
    if not all(printable_path(file) in failed for file in files):
        raise DataError(f"{output} already exists, for other files; please choose another output or remove it.")
    left = (record["file"] for part in folder.glob(f"part-*.{suffix}") for record in FORMATS[suffix].read(part))
    if all(file in failed for file in left):  # by a run that was killed at its very end
        shutil.rmtree(folder, ignore_errors=True)
    log.info("%s already exists, with all %d files.", output, len(files))
    return sum(failed.values())


def with_progress(rows: Iterator[Row], done: int, total: int) -> Generator[Row]:
    """Yield the same rows, with a progress bar on a terminal, and a line in the log now and then elsewhere."""
    if done:
        log.info("%d of %d files are done already.", done, total)
    started = last = time.monotonic()
    for n, row in enumerate(progress(rows, "Predicting", total, done), start=1):
        yield row
        if (now := time.monotonic()) - last > LOG_EVERY_S:
            log.info("%d of %d files, %.1f per second", done + n, total, n / (now - started))
            last = now
