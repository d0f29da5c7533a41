"""Photos in folders: find them, read them, many at once."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from classifier.errors import BrokenImage, TooLarge
from classifier.progress import progress

MAX_BYTES = 200 * 10**6  # what is larger is a video, say, and no photo
NOT_PHOTOS = ("Thumbs.db", "desktop.ini", "__MACOSX")  # what file managers leave; so are hidden files
Item = TypeVar("Item")
Result = TypeVar("Result")


def content(path: Path) -> bytes:
    """The bytes of a photo's file. Raises TooLarge or BrokenImage where there are none to be had."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"This is no file of at most {MAX_BYTES // 10**6} MB.")
        return path.read_bytes()
    except OSError as exc:
        raise BrokenImage(f"This file cannot be read: {exc.strerror}.") from exc


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], doing: str) -> list[Result]:
    """`function` of every item, in order, on all cores, with a progress bar on a terminal."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(progress(pool.map(function, items), doing, len(items)))


def subfolders(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir() if path.is_dir() and is_wanted(path.name)}


def files(folder: Path) -> Iterator[Path]:
    """All files below a folder, at any depth; none if it is not there."""
    for parent, folders, names in os.walk(folder):
        folders[:] = filter(is_wanted, folders)
        yield from (Path(parent, name) for name in names if is_wanted(name))


def is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in NOT_PHOTOS
