"""What was uploaded and what was answered: kept whole, within bounds, until it expires.

A result is two files under one random id: `<id>.jpg`, our re-encoded picture, and `<id>.json`, the answer.
The picture is written last and removed first, and never changed: a result is there exactly when its `.jpg` is,
and as old as that.
"""

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from classifier.storage.object_store import open_store
from classifier.storage.stores import Place, Store, result_errors

log = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
OURS = re.compile(r"[0-9a-f]{32}\.(jpg|json|jpg\.part|json\.part)")
SWEEP_EVERY_S = 60
PROBE = 2**16  # bytes that there has to be room for
FULL_TO = 0.9  # a sweep of a full folder makes this much room, so that not every upload has to sweep


class KeptResults:
    """Results in a store, or in the one at a place. Any number of threads, processes and machines may share it.

    `keep_hours` 0 keeps nothing and writes nothing. `clock` tells the time as the store does, in seconds since 1970.
    What is kept is counted at every sweep: of several machines each knows only its own share of what came since.
    """

    def __init__(
        self,
        where: Place | Store,
        keep_hours: float = 24,
        keep_mb: float = 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = open_store(where) if isinstance(where, Place) else where
        self._clock = clock
        self._keep_s = keep_hours * 3600
        self._max_bytes = keep_mb * 2**20
        self._count = self._bytes = 0  # as of the last sweep, plus what was written since
        self._sweeping = threading.Lock()
        self._due = threading.Event()  # there is something to do for the thread that sweeps
        self._closed = False
        self._sweeper: threading.Thread | None = None

    @property
    def enabled(self) -> bool:
        return self._keep_s > 0

    def keep(self, picture: bytes, answer: dict[str, Any], id: str | None = None) -> str:
        """Keep a JPEG and its JSON answer, under a new id unless one is given; returns the id.

        Raises OSError when the store cannot be written, is full or not to be reached; nothing half-written stays.
        """
        id = id or secrets.token_hex(16)
        document = json.dumps(answer).encode()
        try:
            self._store.write(f"{id}.json", document)
            self._store.write(f"{id}.jpg", picture)
        except OSError:
            with suppress(OSError):  # else a sweep takes what is left
                self._remove(id)
            raise
        self._count += 1
        self._bytes += len(picture) + len(document)
        if self._bytes > self._max_bytes:
            self._make_room()
        return id

    def amend(self, id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Add fields to a kept answer, which expires as before; returns it.

        Raises ResultNotFound, Unavailable or OSError.
        """
        answer = self.answer(id) | fields
        self._store.write(f"{id}.json", json.dumps(answer).encode())
        return answer

    def usage(self) -> tuple[int, int]:
        """How many results are kept, and their bytes: near enough, as the next sweep counts anew."""
        return self._count, self._bytes

    def check_room(self) -> None:
        """Raises OSError when an answer could not be kept now."""
        if self.enabled:
            id = secrets.token_hex(16)
            try:
                self._store.write(f"{id}.json", bytes(PROBE))
            finally:
                self._remove(id)

    def ids(self) -> list[str]:
        """All that is kept, oldest first."""
        return [id for _, _, id in self._results()]

    def answer(self, id: str) -> dict[str, Any]:
        """The answer kept under `id`. Raises ResultNotFound, or Unavailable when the store cannot be read."""
        with result_errors():
            self._check(id)
            return dict(json.loads(self._store.read(f"{id}.json")))

    def picture(self, id: str) -> bytes:
        """The JPEG kept under `id`. Raises ResultNotFound or Unavailable."""
        with result_errors():
            self._check(id)
            return self._store.read(f"{id}.jpg")

    def delete(self, id: str) -> None:
        """Remove a result for good. Raises ResultNotFound or Unavailable."""
        with result_errors():
            self._check(id)
            self._remove(id)

    def discard(self, id: str) -> None:
        """Remove a result if it is there. Raises Unavailable."""
        if ID.fullmatch(id):
            with result_errors():
                self._remove(id)

    def sweep(self) -> None:
        """Remove what has expired and, oldest first, what is too much. Raises OSError.

        Any number of processes may do so at the same time: all find the same to be the oldest.
        """
        with self._sweeping:
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
            self._count, self._bytes = len(results) - len(gone), total

    def start_sweeping(self) -> None:
        """Sweep now, every minute and when it is full, in a background thread, until close().

        Also where nothing is kept any more: what an earlier run kept goes.
        """
        self._sweeper = threading.Thread(target=self._sweep_until_closed, name="uploads-sweep", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        self._closed = True
        self._due.set()

    def _make_room(self) -> None:
        if self._store.is_remote and self._sweeper:
            self._due.set()
            return
        try:
            self.sweep()
        except OSError:  # what was kept is kept
            log.exception("There is too much in %s, and sweeping it failed.", self._store)

    def _sweep_until_closed(self) -> None:
        while not self._closed:
            try:
                self.sweep()
            except OSError:
                log.exception("Sweeping %s failed.", self._store)
            self._due.wait(SWEEP_EVERY_S)
            self._due.clear()

    def _results(self) -> list[tuple[float, int, str]]:
        """(when written, bytes, id) of all that lies here, oldest first. What is not ours is left alone."""
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
        """Raise FileNotFoundError unless `id` is one of ours, there, and young enough."""
        if not ID.fullmatch(id) or self._store.entry(f"{id}.jpg").written <= self._clock() - self._keep_s:
            raise FileNotFoundError(id)

    def _remove(self, *ids: str) -> None:
        endings = ("jpg", "jpg.part", "json", "json.part")
        if ids:
            self._store.delete(f"{id}.{ending}" for id in ids for ending in endings)
