"""A progress bar, on a terminal only."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress(items: Iterable[Item], doing: str, total: int) -> Iterable[Item]:
    """The same items, with a bar on stderr that says what is being done to `total` of them."""
    console = Console(stderr=True)
    return track(items, doing, total, console=console, disable=not console.is_terminal)
