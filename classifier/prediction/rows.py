"""Photos in files -> rows, through an engine, in order and in constant memory."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from classifier.contract import Prediction
from classifier.errors import ClassifierError
from classifier.photos import files
from classifier.progress import progress
from classifier.serving.engine import LocalEngine
from classifier.terms import Broader, certainty

log = logging.getLogger(__name__)

AT_ONCE = 64  # photos in flight; enough to fill the largest batch while others are decoded


class Row(NamedTuple):
    """A file with either its predictions, most probable first, or the reason why there are none."""

    path: Path
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None
    sure: bool | None = None  # whether the first prediction is sure by itself; None if the model does not say
    broader: Broader | None = None  # what is sure if it is not
    familiar: bool | None = None  # whether the photo looks like those that the model was trained on, if it judges that
    familiarity: float | None = None


def predict(engine: LocalEngine, paths: Sequence[Path]) -> Iterator[Row]:
    """Yield a row for every file, in order, as it is answered, with a progress bar."""
    yield from progress(rows_of(engine, paths), "Predicting", len(paths))


def rows_of(engine: LocalEngine, paths: Iterable[Path | str]) -> Iterator[Row]:
    """Yield a row for every file, in order, as it is answered; memory does not grow with the number of files."""
    pool = ThreadPoolExecutor(AT_ONCE)
    pending: deque[Future[Row]] = deque()
    try:
        for path in paths:
            pending.append(pool.submit(row_of, engine, Path(path)))
            if len(pending) >= 4 * AT_ONCE:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def row_of(engine: LocalEngine, path: Path) -> Row:
    try:
        (answer,) = engine.classify([files.read(path)])
    except ClassifierError as error:
        return Row(path, error=str(error))
    if isinstance(answer, ClassifierError):
        return Row(path, error=str(answer))
    if answer.notice:
        log.warning("%s: %s", path, answer.notice)
    row = answered(path, answer.predictions, answer.broader, engine.model.sure_from())
    return row._replace(familiar=answer.familiar, familiarity=answer.familiarity)


def answered(path: Path, predictions: tuple[Prediction, ...], broader: Broader | None, sure_from: float) -> Row:
    sure, broader = certainty(predictions[0].score, broader, sure_from)
    return Row(path, predictions, sure=sure, broader=broader)
