"""Photos in folders: find them, read them, many at once."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from classifier.errors import BrokenImage, DataError, TooLarge
from classifier.progress import progress

MAX_BYTES = 200 * 10**6  # a larger file is a video, for example, and not a photo
NOT_PHOTOS = ("Thumbs.db", "desktop.ini", "__MACOSX")  # left behind by file managers, as hidden files are
Item = TypeVar("Item")
Result = TypeVar("Result")


def find(paths: Iterable[Path]) -> list[Path]:
    """List the given files and all files below the given folders, in the order of `paths`, each folder's sorted.

    Raises DataError if a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist; expected a photo or a folder of photos.")
        found += below(path) if path.is_dir() else [path]
    return found


def below(folder: Path) -> list[Path]:
    """List all files below a folder, at any depth and sorted, except hidden ones; none if it does not exist."""
    return sorted(files(folder))


def subfolders(folder: Path) -> dict[str, Path]:
    """Return the folders directly in `folder` by name, except hidden ones. Raises OSError."""
    return {path.name: path for path in folder.iterdir() if path.is_dir() and is_wanted(path.name)}


def read(path: Path) -> bytes:
    """Read a photo's file. Raises TooLarge for what is not a file of at most `MAX_BYTES`, or BrokenImage."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"This is not a file of at most {MAX_BYTES // 10**6} MB.")
        return path.read_bytes()
    except OSError as exc:
        raise BrokenImage(f"This file cannot be read: {exc.strerror}.") from exc


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], doing: str) -> list[Result]:
    """Apply `function` to every item on all cores and return the results in order; a terminal shows progress."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(progress(pool.map(function, items), doing, len(items)))


def files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = filter(is_wanted, folders)
        yield from (Path(parent, name) for name in names if is_wanted(name))


def is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in NOT_PHOTOS
