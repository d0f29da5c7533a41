"""Photos in folders: find them, read them, many at once."""

import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from classifier.errors import BrokenImage, ClassifierError, DataError, TooLarge
from classifier.progress import progress

log = logging.getLogger(__name__)

MAX_BYTES = 200 * 10**6  # a larger file is a video, for example, and not a photo
NOT_PHOTOS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini")  # left behind by file managers
# Made by NAS systems and operating systems: thumbnails and other copies of the photos beside them, and bins.
SYSTEM_FOLDERS = {
    "@eadir", "@recycle", "@recently-snapshot", "@__thumb", ".@__thumb", "#recycle", "#snapshot", "$recycle.bin",
    "recycler", "recycled", "lost+found", ".thumbnails", ".trashes", "__macosx", ".appledouble",
    "system volume information", "network trash folder", "temporary items",
}  # fmt: skip
DEAD_LINK = "a link that leads nowhere"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rejected(NamedTuple):
    """A file or folder that is left out, and why."""

    path: Path
    reason: str


class Found(NamedTuple):
    """The files below a folder, and the folders below it that were not looked into."""

    paths: list[Path]
    passed_over: list[Rejected]


class Entries(NamedTuple):
    """The entries of one folder, except hidden ones: its folders, also linked ones, and everything else."""

    folders: list[Path]
    links: list[Path]  # to folders
    files: list[Path]
    passed_over: list[Rejected]


def find(paths: Iterable[Path]) -> list[Path]:
    """List the given files and all files below the given folders, in the order of `paths`, each folder's sorted.

    Logs the folders that are passed over. Raises DataError if a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            kind = f"is {DEAD_LINK}" if path.is_symlink() else "does not exist"
            raise DataError(f"{path} {kind}; expected a photo or a folder of photos.")
        below_path = below(path) if path.is_dir() else Found([path], [])
        found += below_path.paths
        log_passed_over(below_path.passed_over)
    return found


def log_passed_over(passed_over: Iterable[Rejected]) -> None:
    """Log every folder that was not looked into, with the reason."""
    for path, reason in passed_over:
        log.warning("Passed over: %s: %s", path, reason)


def below(folder: Path) -> Found:
    """Find all files below a folder, at any depth and sorted, except hidden ones; none if it does not exist.

    Links to folders are followed, after the folders that are really there, so that each folder is read once.
    """
    found = Found([], [])
    seen: set[tuple[int, int]] = set()
    around = {identity(parent) for parent in folder.resolve().parents}
    folders, links = deque([folder]), deque[Path]()
    while folders or links:
        here = (folders or links).popleft()
        if here.exists() and identity(here) in around:
            found.passed_over.append(Rejected(here, "a link to a folder that contains this one"))
        elif here.exists() and identity(here) not in seen:
            seen.add(identity(here))
            entries = entries_of(here)
            folders += entries.folders
            links += entries.links
            found.paths.extend(entries.files)
            found.passed_over.extend(entries.passed_over)
    return Found(sorted(found.paths), sorted(found.passed_over))


def identity(path: Path) -> tuple[int, int]:
    """Return what the same folder has in common under all of its paths."""
    status = path.stat()
    return status.st_dev, status.st_ino


def entries_of(folder: Path) -> Entries:
    """List one folder; if that is not permitted, it is itself in `passed_over`."""
    entries = Entries([], [], [], [])
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            sort_into(entries, entry)
    except OSError as exc:
        entries.passed_over.append(Rejected(folder, f"this folder cannot be read: {exc.strerror}"))
    return entries


def sort_into(entries: Entries, entry: os.DirEntry[str]) -> None:
    path = Path(entry.path)
    if is_folder(entry) and entry.name.lower() in SYSTEM_FOLDERS:
        entries.passed_over.append(Rejected(path, "made by the system, not a folder of photos"))
    elif entry.name.startswith(".") or entry.name.lower() in NOT_PHOTOS:
        return
    elif not is_folder(entry):
        entries.files.append(path)
    else:
        (entries.links if entry.is_symlink() else entries.folders).append(path)


def is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read(path: Path) -> bytes:
    """Read a photo's file. Raises TooLarge for one of more than `MAX_BYTES`, or BrokenImage."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BrokenImage("This is a folder, a pipe or a device; expected a file.")
        if status.st_size > MAX_BYTES:
            size, limit = status.st_size / 10**6, MAX_BYTES / 10**6
            raise TooLarge(f"This file has {size:,.3g} MB; a photo may have at most {limit:,.3g} MB.")
        return path.read_bytes()
    except OSError as exc:
        if path.is_symlink() and not path.exists():
            raise BrokenImage(f"This is {DEAD_LINK}.") from exc
        raise BrokenImage(f"This file cannot be read: {exc.strerror}.") from exc


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], doing: str) -> list[Result]:
    """Apply `function` to every item on all cores and return the results in order; a terminal shows progress."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(progress(pool.map(function, items), doing, len(items)))


def read_all(function: Callable[[bytes], Result], paths: Sequence[Path], doing: str) -> list[Result]:
    """Apply `function` to the content of every file, as `in_threads` does.

    Files that cannot be read, or of which `function` raises ClassifierError, are logged and left out.
    """

    def result_of(path: Path) -> Result | Rejected:
        try:
            return function(read(path))
        except ClassifierError as error:
            return Rejected(path, str(error))

    outcomes = in_threads(result_of, paths, doing)
    log_left_out(outcome for outcome in outcomes if isinstance(outcome, Rejected))
    return [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]


def log_left_out(rejected: Iterable[Rejected]) -> None:
    """Log every file that is left out, with the reason."""
    for path, reason in rejected:
        log.warning("Left out: %s: %s", path, reason)
