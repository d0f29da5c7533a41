"""Write a file or a folder so that it appears whole or not at all."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.errors import StartupError
from classifier.text import one_line

AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextmanager
def replaced(folder: Path, is_free: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder to fill; at the end it takes the place of `folder` in one step, or, after an error, it is removed.

    Raises StartupError when `folder` is there and is no model folder, or cannot be written.
    """
    folder = folder.resolve()  # `.` has no name, and a link is to stay one
    try:
        if not is_free(folder):
            raise StartupError(
                f"{folder} is there and is no model folder; it is left alone. Please choose another output."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            yield part
            part.chmod(0o755)  # mkdtemp's is for its owner alone
            put_in_place(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as exc:
        raise StartupError(f"The model folder {folder} cannot be written ({one_line(exc)}).") from exc


def put_in_place(part: Path, folder: Path) -> None:
    """Swap the two folders; where the system cannot, for a moment neither has the name."""
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
    """Swap two paths in one step by Linux' renameat2(2), which Python does not offer."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A file to write, which then appears as `path` at once, even if the machine fails just after."""
    part = path.with_name(f".{path.name}.part")
    yield part
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)
