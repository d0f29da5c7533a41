"""Pictures and their answers, kept within bounds until they expire.

A result is two files under one random id: `<id>.jpg`, the re-encoded picture, and `<id>.json`, the answer. The picture
is written last, removed first and never changed: a result exists exactly while its `.jpg` does, and is as old.
"""

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from classifier.errors import ResultNotFound, Unavailable
from classifier.options import KEEP_HOURS, KEEP_MB
from classifier.storage.object_store import open_store
from classifier.storage.stores import Place, Store

log = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
OURS = re.compile(r"[0-9a-f]{32}\.(jpg|json|jpg\.part|json\.part)")
SWEEP_EVERY_S = 60
KEY, KEY_BYTES = "cookies.key", 32  # the name of the secret in the store, and its length
KEY_WAITS_S = (0, 0.1, 0.3)  # some file systems show a file that another process is still writing
READERS = 8  # answers read at the same time: a store elsewhere takes some milliseconds for each
PROBE = 2**16  # bytes that must fit for a store to count as having room
FULL_TO = 0.9  # of the bound: what a sweep of a full store leaves, so that not every upload has to sweep


class KeptResults:
    """Results in a store, or in the one at a place, which any number of threads, processes and machines may share.

    `keep_hours` 0 keeps nothing and writes nothing. `clock` returns seconds since 1970, as the store counts them.
    Results are counted at every sweep: between two, each of several machines knows only its own additions.
    """

    def __init__(
        self,
        where: Place | Store,
        keep_hours: float = KEEP_HOURS,
        keep_mb: float = KEEP_MB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = open_store(where) if isinstance(where, Place) else where
        self._clock = clock
        self._keep_s = keep_hours * 3600
        self._max_bytes = keep_mb * 2**20
        self._count = self._bytes = 0  # at the last sweep, and written since
        self._sweeping = threading.Lock()
        self._due = threading.Event()  # set when the sweeping thread has something to do
        self._closed = False
        self._key = b""
        self._sweeper: threading.Thread | None = None

    @property
    def enabled(self) -> bool:
        return self._keep_s > 0

    def keep(self, picture: bytes, answer: dict[str, Any], id: str | None = None) -> str:
        """Keep a JPEG and its answer under `id`, by default a new one, and return the id.

        Raises OSError if the store is full or cannot be reached; then nothing half-written stays.
        """
        id = id or secrets.token_hex(16)
        document = json.dumps(answer).encode()
        try:
            self._store.write(f"{id}.json", document)
            self._store.write(f"{id}.jpg", picture)
        except OSError:
            with suppress(OSError):  # a sweep removes the rest
                self._remove(id)
            raise
        self._count += 1
        self._bytes += len(picture) + len(document)
        if self._bytes > self._max_bytes:
            self._make_room()
        return id

    def amend(self, id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Add fields to a kept answer, which expires as before, and return it.

        Raises ResultNotFound, Unavailable or OSError.
        """
        answer = self.answer(id) | fields
        self._store.write(f"{id}.json", json.dumps(answer).encode())
        return answer

    def usage(self) -> tuple[int, int]:
        """Return the number of kept results and their bytes, roughly; the next sweep counts them exactly."""
        return self._count, self._bytes

    def check_room(self) -> None:
        """Raise OSError unless an answer could be kept now."""
        if self.enabled:
            id = secrets.token_hex(16)
            try:
                self._store.write(f"{id}.json", bytes(PROBE))
            finally:
                self._remove(id)

    def ids(self) -> list[str]:
        """List the ids of all results, oldest first. Raises OSError."""
        return [id for _, _, id in self._results()]

    def answer(self, id: str) -> dict[str, Any]:
        """Return the answer kept under `id`. Raises ResultNotFound, or Unavailable if the store cannot be read."""
        with result_errors():
            self._check(id)
            return dict(json.loads(self._store.read(f"{id}.json")))

    def answers(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the answers kept under `ids`, in that order; those that are gone or cannot be read are left out."""
        with ThreadPoolExecutor(READERS) as pool:
            found = zip(ids, pool.map(self._answer_or_none, ids), strict=True)
            return {id: answer for id, answer in found if answer}

    def key(self) -> bytes:
        """Return a secret that lies in the store, made at the first call by any who share it. Raises OSError."""
        if not self._key:
            self._key = self._stored_key()
        return self._key

    def picture(self, id: str) -> bytes:
        """Return the JPEG kept under `id`. Raises ResultNotFound or Unavailable."""
        with result_errors():
            self._check(id)
            return self._store.read(f"{id}.jpg")

    def delete(self, id: str) -> None:
        """Delete a result. Raises ResultNotFound or Unavailable."""
        with result_errors():
            self._check(id)
            self._remove(id)

    def discard(self, id: str) -> None:
        """Delete a result if it exists. Raises Unavailable."""
        if ID.fullmatch(id):
            with result_errors():
                self._remove(id)

    def sweep(self) -> None:
        """Delete expired results and, oldest first, those beyond the bound. Raises OSError.

        Any number of processes may sweep at the same time: all agree which results are the oldest.
        """
        with self._sweeping:
            counted, counted_bytes = self.usage()
            results = self._results()
            total = sum(size for _, size, _ in results)
            goal = self._max_bytes * FULL_TO if total > self._max_bytes else total
            gone = []
            for written, size, id in results:
                if written > self._clock() - self._keep_s and total <= goal:
                    break
                gone.append(id)
                total -= size
            self._remove(*gone)
            # What has been kept since the listing began counts too; some of it may have been listed, and counts twice.
            self._count += len(results) - len(gone) - counted
            self._bytes += total - counted_bytes

    def start_sweeping(self) -> None:
        """Sweep in a background thread now, every minute and when the store is full, until close().

        This is right even if nothing is kept any more: it deletes the results of an earlier run.
        """
        self._sweeper = threading.Thread(target=self._sweep_until_closed, name="uploads-sweep", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        self._closed = True
        self._due.set()

    def _answer_or_none(self, id: str) -> dict[str, Any] | None:
        try:
            return self.answer(id)
        except (ResultNotFound, Unavailable):
            return None

    def _stored_key(self) -> bytes:
        for wait_s in KEY_WAITS_S:
            time.sleep(wait_s)
            key = self._read_or_made_key()
            if len(key) == KEY_BYTES:
                return key
        raise OSError(f"{KEY} in {self._store} must have {KEY_BYTES} bytes, not {len(key)}; please delete it.")

    def _read_or_made_key(self) -> bytes:
        try:
            return self._store.read(KEY)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                self._store.create(KEY, secrets.token_bytes(KEY_BYTES))
            return self._store.read(KEY)

    def _make_room(self) -> None:
        if self._store.is_remote and self._sweeper:
            self._due.set()
            return
        try:
            self.sweep()
        except OSError:  # the new result is kept all the same
            log.exception("%s is over its bound, and sweeping it failed.", self._store)

    def _sweep_until_closed(self) -> None:
        while not self._closed:
            try:
                self.sweep()
            except OSError:
                log.exception("Sweeping %s failed.", self._store)
            self._due.wait(SWEEP_EVERY_S)
            self._due.clear()

    def _results(self) -> list[tuple[float, int, str]]:
        """List (time of writing, bytes, id) of every result, oldest first. Other files are ignored."""
        pictures: dict[str, float] = {}
        others: dict[str, float] = {}
        sizes: dict[str, int] = {}
        for name, size, written in self._store.entries():
            if OURS.fullmatch(name):
                id = name[:32]
                sizes[id] = sizes.get(id, 0) + size
                (pictures if name.endswith(".jpg") else others)[id] = written
        return sorted((pictures.get(id, others.get(id, 0.0)), size, id) for id, size in sizes.items())

    def _check(self, id: str) -> None:
        """Raise FileNotFoundError unless `id` is that of a result which exists and has not expired."""
        if not ID.fullmatch(id) or self._store.entry(f"{id}.jpg").written <= self._clock() - self._keep_s:
            raise FileNotFoundError(id)

    def _remove(self, *ids: str) -> None:
        endings = ("jpg", "jpg.part", "json", "json.part")
        if ids:
            self._store.delete(f"{id}.{ending}" for id in ids for ending in endings)


@contextmanager
def result_errors() -> Iterator[None]:
    """Turn a store's errors into their meaning for a result: gone, or unavailable for now."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        raise ResultNotFound(
            "This result is not here: it was deleted, has expired, or the address is mistyped."
        ) from exc
    except OSError as exc:
        raise Unavailable("Kept results cannot be read at the moment; please try again shortly.") from exc
