"""Write a file or a folder so that it appears whole or not at all, whenever the process or the machine fails.

And let one process at a time do so.
"""

import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux' renameat2(2)


@contextmanager
def writing(path: Path, *, part: Path | None = None, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write a file at, which then takes the name `path` in one step; after an error it is removed.

    `part` is that path, in the same file system: `.<name>.part` beside `path` unless given. A process that is killed
    leaves it behind. `durable` waits until the content is on disk, so that the file is whole even if the machine loses
    power. Raises OSError.
    """
    part = part or path.with_name(f".{path.name}.part")
    try:
        yield part
        if durable:
            flush(part)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def locked(file: IO[Any]) -> Iterator[None]:
    """Hold an open file's lock among processes; it ends with the process at the latest."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def flush(path: Path) -> None:
    """Wait until a file's content is on disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill, which then takes the place of `folder` in one step; after an error it is removed.

    `folder` must be an absolute path without links. Folders above it are created. Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        yield part
        part.chmod(0o755)  # mkdtemp's permissions are for its owner alone
        put_in_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_in_place(part: Path, folder: Path) -> None:
    """Exchange two folders in one step; where the system cannot, nothing has the name for a moment."""
    if not folder.exists():
        part.rename(folder)
    elif not exchanged(part, folder):
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent) as old:
            kept = folder.rename(Path(old, folder.name))
            try:
                part.rename(folder)
            except OSError:
                kept.rename(folder)
                raise


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two paths in one step by Linux' renameat2(2), which Python does not offer; False where that fails."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)
