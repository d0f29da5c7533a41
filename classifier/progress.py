"""A progress bar, on a terminal only."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress(items: Iterable[Item], doing: str, total: int, done: int = 0) -> Iterable[Item]:
    """The same items, with a bar on stderr that says what is being done to `total`, of which some are done already."""
    console = Console(stderr=True)
    return track(items, doing, total, done, console=console, disable=not console.is_terminal)
