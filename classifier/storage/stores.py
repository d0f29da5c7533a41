"""Stores of named bytes: the protocol, and a folder as one. `object_store` holds the other kind.

A store writes each name whole or not at all, and knows when. Any number of threads, processes and machines may use one
at the same time.
"""

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from classifier import atomic

Place = Path | str  # a folder, or an address as fsspec writes it: s3://bucket/prefix


class Entry(NamedTuple):
    """What a store knows of a name without reading its content; `size` in bytes, `written` in seconds since 1970."""

    name: str
    size: int
    written: float


class Store(Protocol):
    """Named bytes. Every method raises OSError if the store fails or cannot be reached."""

    is_remote: bool  # True if listing the store, or deleting many names, takes longer than a request may wait

    def write(self, name: str, data: bytes) -> None:
        """Write `data` under `name`, whole or not at all."""

    def read(self, name: str) -> bytes:
        """Return the content of `name`. Raises FileNotFoundError."""

    def create(self, name: str, data: bytes) -> None:
        """Write `data` under a new `name`, for the eyes of this user alone. Raises FileExistsError."""

    def entry(self, name: str) -> Entry:
        """Return the entry of `name`. Raises FileNotFoundError."""

    def entries(self) -> Iterable[Entry]:
        """List every entry, in any order; none if nothing was ever written."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete `names`; missing ones are ignored."""


class Folder:
    """A folder of this machine, or of a file system that several machines share."""

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()  # writing is quick; threads that write at once fight for the interpreter

    def __str__(self) -> str:
        return str(self._folder)

    def write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        part = self._folder / f"{name}.part"
        # Not durable: a result lost with the machine's power can be asked for again, and every request waits for this.
        with self._writing, atomic.writing(path, part=part, durable=False):
            try:
                part.write_bytes(data)
            except FileNotFoundError:
                self._folder.mkdir(parents=True, exist_ok=True)
                part.write_bytes(data)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def create(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f".{name}.") as file:  # its mode is 0600
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, self._folder / name)  # unlike a rename, it replaces nothing

    def entry(self, name: str) -> Entry:
        stat = (self._folder / name).stat()
        return Entry(name, stat.st_size, stat.st_mtime)

    def entries(self) -> Iterator[Entry]:
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # another process may be sweeping
                if path.is_file():
                    yield self.entry(path.name)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


def below(place: Place, name: str) -> Place:
    """Return the place called `name` inside another."""
    return place / name if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"
