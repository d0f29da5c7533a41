"""The engine from the command line: files and folders in, a row per photo out."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from classifier.contract import Prediction
from classifier.errors import ClassifierError, DataError
from classifier.photos import files
from classifier.progress import progress
from classifier.serving.engine import LocalEngine

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
        found += sorted(files.files(path)) if path.is_dir() else [path]
    return found


def predict(engine: LocalEngine, paths: Sequence[Path]) -> Iterator[Row]:
    """A row for every file, in order, as they come, with a progress bar."""
    yield from progress(rows_of(engine, paths), "Predicting", len(paths))


def rows_of(engine: LocalEngine, paths: Iterable[Path | str]) -> Iterator[Row]:
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


def row_of(engine: LocalEngine, path: Path) -> Row:
    try:
        (answer,) = engine.classify([files.content(path)])
    except ClassifierError as error:
        return Row(path, error=str(error))
    if isinstance(answer, ClassifierError):
        return Row(path, error=str(answer))
    return answered(path, answer.predictions, engine.model.threshold)


def answered(path: Path, predictions: tuple[Prediction, ...], threshold: float) -> Row:
    return Row(path, predictions, sure=predictions[0].score >= threshold if threshold else None)
