"""Progress bars on a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn, track

from classifier.contract import Note

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int, done: int = 0) -> Iterable[Item]:
    """Yield the same items with a progress bar on stderr, if that is a terminal; `done` of `total` are done already."""
    console = Console(stderr=True)
    return track(items, description, total, done, console=console, disable=not console.is_terminal)


@contextmanager
def downloading(name: str) -> Iterator[Note]:
    """Yield what takes note of the progress: a bar on stderr, if that is a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Downloading {name}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
