"""Where what is kept lies: a folder here; `object_store` is the same elsewhere.

A store holds named bytes, each written whole or not at all, and knows when. Any number of threads,
processes and machines may use one at the same time.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from classifier.errors import ResultNotFound, Unavailable

Place = Path | str  # a folder, or an address as fsspec writes it: s3://bucket/prefix


class Entry(NamedTuple):
    """What a store knows of something without reading it; `written` in seconds since 1970."""

    name: str
    size: int
    written: float


class Store(Protocol):
    """Named bytes. Every method raises OSError when the store fails or cannot be reached."""

    is_remote: bool  # whether listing it and deleting much takes longer than a request may wait

    def write(self, name: str, data: bytes) -> None:
        """All of `data` is there under `name` at once, or nothing is."""

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    def entry(self, name: str) -> Entry:
        """Raises FileNotFoundError."""

    def entries(self) -> Iterable[Entry]:
        """All there is, in any order; nothing where nothing was ever written."""

    def delete(self, names: Iterable[str]) -> None:
        """What is not there is fine."""


class Folder:
    """A folder of this machine, or of a file system that machines share."""

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()  # writing is quick; threads that do so at once fight for the interpreter

    def __str__(self) -> str:
        return str(self._folder)

    def write(self, name: str, data: bytes) -> None:
        part = self._folder / f"{name}.part"
        with self._turn:
            try:
                self._written(part, data)
                part.replace(self._folder / name)
            except OSError:
                part.unlink(missing_ok=True)
                raise

    def _written(self, part: Path, data: bytes) -> None:
        try:
            part.write_bytes(data)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def entry(self, name: str) -> Entry:
        stat = (self._folder / name).stat()
        return Entry(name, stat.st_size, stat.st_mtime)

    def entries(self) -> Iterator[Entry]:
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # another process sweeps too
                if path.is_file():
                    yield self.entry(path.name)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


def below(place: Place, name: str) -> Place:
    """The place `name` inside of another."""
    return place / name if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"


@contextmanager
def result_errors() -> Iterator[None]:
    """What a store raises, told as what it means for a result: gone, or not to be had now."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        raise ResultNotFound(
            "This result is not here: it was deleted, has expired, or the address is mistyped."
        ) from exc
    except OSError as exc:
        raise Unavailable("What was kept cannot be read at the moment; please try again shortly.") from exc
