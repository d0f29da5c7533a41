"""A store elsewhere, which many machines share: S3 and its like, or whatever else fsspec opens."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.errors import StartupError
from classifier.storage.stores import Entry, Folder, Place, Store

TIMEOUT_S = 5  # of reading or writing one thing
LONG_TIMEOUT_S = 60  # of listing all, and of deleting many
DOWN_S = 5  # a store that could not be reached is left alone for this long, so that requests do not queue for it
PUTS_WHOLE = {
    "s3",
    "s3a",
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "az",
    "oci",
    "oss",
    "memory",
}  # others show what is half-written
WRITTEN = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")  # as file systems call it
S3_CLIENT = {"connect_timeout": 2, "read_timeout": 4, "retries": {"total_max_attempts": 2}, "max_pool_connections": 64}


def open_store(place: Place) -> Store:
    """The store in a folder or at an address. Raises StartupError for an address that nothing here can open."""
    if isinstance(place, Path) or "://" not in place:
        return Folder(Path(place))
    protocol, _, path = place.partition("://")
    return Folder(Path(path)) if protocol in ("file", "local") else FileSystem(*opened(place))


class FileSystem:
    """A prefix of an object store, or a folder of a file system elsewhere: `fs` is fsspec's."""

    is_remote = True

    def __init__(self, fs: Any, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._clock = clock
        self._down_until = 0.0

    def __str__(self) -> str:
        return self._root

    def write(self, name: str, data: bytes) -> None:
        if not PUTS_WHOLE.isdisjoint(protocols(self._fs)):
            self._do("pipe_file", self._path(name), data)
            return
        part = f"{self._path(name)}.part"
        self._do("makedirs", self._root, exist_ok=True)
        self._do("pipe_file", part, data)
        self._do("mv", part, self._path(name))

    def read(self, name: str) -> bytes:
        return bytes(self._do("cat_file", self._path(name)))

    def entry(self, name: str) -> Entry:
        info = self._do("info", self._path(name))
        if info["type"] != "file":
            raise FileNotFoundError(name)
        return entry_of(info)

    def entries(self) -> Iterator[Entry]:
        with suppress(FileNotFoundError):
            found = self._do("ls", self._root, timeout_s=LONG_TIMEOUT_S, detail=True)
            yield from (entry_of(info) for info in found if info["type"] == "file")

    def delete(self, names: Iterable[str]) -> None:
        paths = [self._path(name) for name in names]
        for some in [paths] if self._fs.async_impl else [[path] for path in paths]:  # object stores delete in bulk
            with suppress(FileNotFoundError):
                self._do("rm", some, timeout_s=LONG_TIMEOUT_S if len(some) > 10 else None)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _do(self, method: str, *args: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """What fsspec's own method does, but not for ever, where it can be interrupted: in all object stores."""
        with self._store_errors():
            if not self._fs.async_impl:
                return getattr(self._fs, method)(*args, **options)
            from fsspec.asyn import sync  # type: ignore[import-untyped,unused-ignore]

            return sync(
                self._fs.loop, getattr(self._fs, f"_{method}"), *args, timeout=timeout_s or TIMEOUT_S, **options
            )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Whatever goes wrong is an OSError. Once the store cannot be reached, one asks it now and then for all."""
        now = self._clock()
        if now < self._down_until:
            raise ConnectionError("The store could not be reached a moment ago.")
        if self._down_until:
            self._down_until = now + DOWN_S
        try:
            yield
            self._down_until = 0.0
        except (FileNotFoundError, PermissionError):
            self._down_until = 0.0
            raise
        except Exception as exc:  # file systems raise errors of their own, of many families
            self._down_until = self._clock() + DOWN_S
            raise OSError(f"The store cannot be reached: {exc or type(exc).__name__}") from exc


def opened(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it. Raises StartupError."""
    import fsspec  # type: ignore[import-untyped,unused-ignore]

    protocol = address.partition("://")[0]
    is_s3 = protocol in ("s3", "s3a")
    options = {"config_kwargs": S3_CLIENT} if is_s3 else {}
    try:
        fs, root = fsspec.url_to_fs(address, use_listings_cache=False, skip_instance_cache=True, **options)
    except (ImportError, ValueError) as exc:
        install = "this needs the extra `s3`: .venv/bin/pip install -c constraints.txt -e '.[s3]'"
        raise StartupError(f"{address} cannot be opened: {install if is_s3 else exc}") from exc
    if is_s3:
        fs.retries = 1  # how often s3fs tries; the client below it tries again by itself
    return fs, str(root)


def protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def entry_of(info: dict[str, Any]) -> Entry:
    written = next((info[key] for key in WRITTEN if info.get(key)), 0.0)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    if isinstance(written, datetime):
        written = (written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp()
    return Entry(info["name"].rpartition("/")[2], int(info["size"]), float(written))
