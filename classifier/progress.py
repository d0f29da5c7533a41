"""A progress bar on a terminal."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int, done: int = 0) -> Iterable[Item]:
    """Yield the same items with a progress bar on stderr, if that is a terminal; `done` of `total` are done already."""
    console = Console(stderr=True)
    return track(items, description, total, done, console=console, disable=not console.is_terminal)
