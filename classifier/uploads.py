"""What was uploaded and what was answered: kept whole, within bounds, until it expires.

A result is two files under one random id: `<id>.jpg`, our re-encoded picture, and `<id>.json`, the answer.
The answer is written last and removed first, so a result is there exactly when its `.json` is.
"""

import json
import logging
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from classifier.errors import ResultNotFound

log = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
OURS = re.compile(r"[0-9a-f]{32}\.(jpg|json|jpg\.part|json\.part)")
SWEEP_EVERY_S = 60
PROBE = 2**16  # bytes that there has to be room for
FULL_TO = 0.9  # a sweep of a full folder makes this much room, so that not every upload has to sweep


class Uploads:
    """A folder of results. Any number of threads and processes may share it.

    `keep_hours` 0 keeps nothing and writes nothing.
    """

    def __init__(self, folder: Path, keep_hours: float = 24, keep_mb: float = 1024) -> None:
        self._folder = folder
        self._keep_s = keep_hours * 3600
        self._max_bytes = keep_mb * 2**20
        self._count = self._bytes = 0  # as of the last sweep, plus what was written since
        self._sweeping = threading.Lock()
        self._closed = threading.Event()

    @property
    def enabled(self) -> bool:
        return self._keep_s > 0

    def keep(self, picture: bytes, answer: dict[str, Any], id: str | None = None) -> str:
        """Keep a JPEG and its JSON answer, under a new id unless one is given; returns the id.

        Raises OSError when the folder cannot be written or the disk is full; nothing half-written stays.
        """
        id = id or secrets.token_hex(16)
        document = json.dumps(answer).encode()
        try:
            self._write(self._picture(id), picture)
            self._write(self._answer(id), document)
        except OSError:
            self._remove(id)
            raise
        self._count += 1
        self._bytes += len(picture) + len(document)
        if self._bytes > self._max_bytes:
            self.sweep()
        return id

    def amend(self, id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Add fields to a kept answer, which expires as before; returns it. Raises ResultNotFound or OSError."""
        path = self._answer(id)
        answer = self.answer(id) | fields
        written = path.stat().st_mtime
        self._write(path, json.dumps(answer).encode())
        os.utime(path, (written, written))
        return answer

    def usage(self) -> tuple[int, int]:
        """How many results are kept, and their bytes: near enough, as the next sweep counts anew."""
        return self._count, self._bytes

    def check_room(self) -> None:
        """Raises OSError when an answer could not be kept now."""
        if self.enabled:
            id = secrets.token_hex(16)
            try:
                self._write(self._picture(id), bytes(PROBE))
            finally:
                self._remove(id)

    def ids(self) -> list[str]:
        """All that is kept, oldest first."""
        return [id for _, _, id in self._results()]

    def answer(self, id: str) -> dict[str, Any]:
        """The answer kept under `id`. Raises ResultNotFound."""
        self._check(id)
        try:
            return dict(json.loads(self._answer(id).read_bytes()))
        except (OSError, ValueError) as exc:
            raise not_found() from exc

    def picture(self, id: str) -> bytes:
        """The JPEG kept under `id`. Raises ResultNotFound."""
        self._check(id)
        try:
            return self._picture(id).read_bytes()
        except OSError as exc:
            raise not_found() from exc

    def delete(self, id: str) -> None:
        """Remove a result for good. Raises ResultNotFound."""
        self._check(id)
        self._remove(id)

    def discard(self, id: str) -> None:
        """Remove a result if it is there."""
        if ID.fullmatch(id):
            self._remove(id)

    def sweep(self) -> None:
        """Remove what has expired and, oldest first, what is too much."""
        with self._sweeping:
            results = self._results()
            total = sum(size for _, size, _ in results)
            goal = self._max_bytes * FULL_TO if total > self._max_bytes else total
            kept = len(results)
            for written, size, id in results:
                if written > time.time() - self._keep_s and total <= goal:
                    break
                self._remove(id)
                total, kept = total - size, kept - 1
            self._count, self._bytes = kept, total

    def start_sweeping(self) -> None:
        """Sweep now and every minute, in a background thread, until close().

        Also where nothing is kept any more: what an earlier run kept goes.
        """
        threading.Thread(target=self._sweep_until_closed, name="uploads-sweep", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _sweep_until_closed(self) -> None:
        while True:
            try:
                self.sweep()
            except OSError:
                log.exception("Sweeping %s failed.", self._folder)
            if self._closed.wait(SWEEP_EVERY_S):
                return

    def _results(self) -> list[tuple[float, int, str]]:
        """(when written, bytes, id) of all that lies here, oldest first. Files that are not ours are left alone."""
        found: dict[str, tuple[float, int]] = {}
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # another process sweeps too
                if OURS.fullmatch(path.name):
                    stat, id = path.stat(), path.name[:32]
                    written, size = found.get(id, (0, 0))
                    found[id] = max(written, stat.st_mtime), size + stat.st_size
        return sorted((written, size, id) for id, (written, size) in found.items())

    def _check(self, id: str) -> None:
        """Raise ResultNotFound unless `id` is one of ours, there, and young enough."""
        try:
            fresh = ID.fullmatch(id) and self._answer(id).stat().st_mtime > time.time() - self._keep_s
        except OSError as exc:
            raise not_found() from exc
        if not fresh:
            raise not_found()

    def _write(self, path: Path, data: bytes) -> None:
        """All of `data` appears under `path` at once, or nothing does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(data)
        part.replace(path)

    def _remove(self, id: str) -> None:
        for path in (self._answer(id), self._picture(id)):
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".part").unlink(missing_ok=True)

    def _answer(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _picture(self, id: str) -> Path:
        return self._folder / f"{id}.jpg"


def not_found() -> ResultNotFound:
    return ResultNotFound("This result is not here: it was deleted, has expired, or the address is mistyped.")
