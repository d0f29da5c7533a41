"""A store elsewhere, shared by many machines: S3 and similar, or any other file system that fsspec opens."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.errors import StartupError
from classifier.storage.stores import Entry, Folder, Place, Store
from classifier.text import one_line

TIMEOUT_S = 5  # to read or write one name
LONG_TIMEOUT_S = 60  # to build the client, to list the store, or to delete many names
DOWN_S = 5  # how long a store that could not be reached is left alone, so that requests do not queue for it
MANY = 10  # names
# Protocols of stores that show a file only once it is complete; others show it half-written.
PUTS_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}
WRITTEN = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")  # names that file systems use
S3_CLIENT = {"connect_timeout": 2, "read_timeout": 4, "retries": {"total_max_attempts": 2}, "max_pool_connections": 64}


def open_store(place: Place) -> Store:
    """Open the store in a folder or at an address. Raises StartupError for an address that cannot be opened here."""
    if isinstance(place, Path) or "://" not in place:
        return Folder(Path(place))
    protocol, _, path = place.partition("://")
    return Folder(Path(path)) if protocol in ("file", "local") else FileSystem(*opened(place))


def opened(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it. Raises StartupError."""
    import fsspec  # type: ignore[import-untyped,unused-ignore]

    is_s3 = address.partition("://")[0] in ("s3", "s3a")
    options = {"config_kwargs": S3_CLIENT} if is_s3 else {}
    try:
        fs, root = fsspec.url_to_fs(address, use_listings_cache=False, skip_instance_cache=True, **options)
    except (ImportError, ValueError) as exc:
        install = "this needs the extra `s3`: .venv/bin/pip install -c constraints.txt -e '.[s3]'"
        raise StartupError(f"{address} cannot be opened: {install if is_s3 else exc}") from exc
    if is_s3:
        fs.retries = 1  # s3fs's own attempts; the client below it retries as S3_CLIENT says
        with suppress(Exception):  # the first call reports what fails here
            fs.connect(timeout=LONG_TIMEOUT_S)  # builds the client, for which a busy machine may take all of TIMEOUT_S
    return fs, str(root)


class FileSystem:
    """A prefix of an object store, or a folder of another file system: `fs` is fsspec's, `root` the path in it.

    After a failure to reach the store, calls fail at once for `DOWN_S` seconds of `clock`. Then one call tries again.
    """

    is_remote = True

    def __init__(self, fs: Any, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._clock = clock
        self._down_until = 0.0

    def __str__(self) -> str:
        return self._root

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        if self._puts_whole():
            self._call("pipe_file", path, data)
            return
        self._call("makedirs", self._root, exist_ok=True)
        self._call("pipe_file", f"{path}.part", data)
        self._call("mv", f"{path}.part", path)

    def read(self, name: str) -> bytes:
        return bytes(self._call("cat_file", self._path(name)))

    def create(self, name: str, data: bytes) -> None:
        if self._puts_whole():
            self._call("pipe_file", self._path(name), data, mode="create")
            return
        self._call("makedirs", self._root, exist_ok=True)
        with self._call("open", self._path(name), "xb") as file:  # `pipe_file` looks first, then overwrites
            file.write(data)

    def entry(self, name: str) -> Entry:
        info = self._call("info", self._path(name))
        if info["type"] != "file":
            raise FileNotFoundError(name)
        return as_entry(info)

    def entries(self) -> Iterator[Entry]:
        with suppress(FileNotFoundError):
            found = self._call("ls", self._root, timeout_s=LONG_TIMEOUT_S, detail=True)
            yield from (as_entry(info) for info in found if info["type"] == "file")

    def delete(self, names: Iterable[str]) -> None:
        paths = [self._path(name) for name in names]
        deletes_many = self._fs.async_impl  # object stores do; others stop at the first path that is missing
        for some in [paths] if deletes_many else [[path] for path in paths]:
            with suppress(FileNotFoundError):
                self._call("rm", some, timeout_s=LONG_TIMEOUT_S if len(some) > MANY else None)

    def _puts_whole(self) -> bool:
        return not PUTS_WHOLE.isdisjoint(protocols(self._fs))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, method: str, *args: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """Call one of fsspec's methods, within a time limit if it is asynchronous, as in all object stores."""
        with self._store_errors():
            if not self._fs.async_impl:
                return getattr(self._fs, method)(*args, **options)
            from fsspec.asyn import sync  # type: ignore[import-untyped,unused-ignore]

            # The blocking methods wait without a limit, and only S3's client has limits of its own. The coroutines
            # behind them, which fsspec documents under these names, can be cancelled.
            coroutine = getattr(self._fs, f"_{method}")
            return sync(self._fs.loop, coroutine, *args, timeout=timeout_s or TIMEOUT_S, **options)

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Turn whatever a file system raises into OSError, and act as a circuit breaker while the store is down."""
        if self._clock() < self._down_until:
            raise ConnectionError("The store could not be reached a moment ago.")
        if self._down_until:  # this call tries again, while others still fail
            self._down_until = self._clock() + DOWN_S
        try:
            yield
            self._down_until = 0.0
        except (FileExistsError, FileNotFoundError, PermissionError):  # an answer of the store
            self._down_until = 0.0
            raise
        except Exception as exc:  # file systems raise errors of their own, of many families
            self._down_until = self._clock() + DOWN_S
            raise OSError(f"The store cannot be reached: {one_line(exc)}") from exc


def protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def as_entry(info: dict[str, Any]) -> Entry:
    """Return fsspec's description of a file as an entry."""
    written = next((info[key] for key in WRITTEN if info.get(key)), 0.0)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    if isinstance(written, datetime):
        written = (written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp()
    return Entry(info["name"].rpartition("/")[2], int(info["size"]), float(written))
