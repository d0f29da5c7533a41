"""The files of a request while they arrive: photos in memory, zip files in nameless temporary files, all bounded."""

import threading
from collections.abc import Callable
from functools import cached_property
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from classifier.errors import TooLarge, Unavailable
from classifier.photos.zips import is_zip
from web.settings import Settings

ZIPS_AT_ONCE = 4  # requests with zip files that are received or answered at the same time
IN_MEMORY = 2**20  # bytes of a zip file; a larger one goes to a disk
SIGNATURE = 4  # bytes

BUSY = "Other zip files are being answered; please send this one again in a minute."
NO_ROOM = "There is no room for this zip file at the moment; please send fewer photos, or try again later."


class Arrival:
    """What one request may still send, in bytes, and its place among the requests with zip files."""

    def __init__(self, settings: Settings, places: threading.Semaphore) -> None:
        self._max_zip_mb = settings.max_zip_mb
        self._photo_bytes = settings.max_upload_mb * 2**20
        self._zip_bytes = settings.max_zip_mb * 2**20
        self._places = places
        self._has_place = False
        self._files: list[SentFile] = []

    def file(self) -> "SentFile":
        """Return a new file, which this closes even if the rest of the request never arrives."""
        self._files.append(SentFile(self))
        return self._files[-1]

    def take_photo(self, size: int) -> None:
        """Count bytes of a photo. Raises RequestEntityTooLarge."""
        self._photo_bytes -= size
        if self._photo_bytes < 0:
            raise RequestEntityTooLarge

    def take_zip(self, size: int) -> None:
        """Count bytes of a zip file, of which the first need a place. Raises TooLarge or Unavailable."""
        self._has_place = self._has_place or self._places.acquire(blocking=False)
        if not self._has_place:
            raise Unavailable(BUSY)
        self._zip_bytes -= size
        if self._zip_bytes < 0:
            raise TooLarge(f"One request may hold {self._max_zip_mb:,} MB of zip files; please split them.")

    def close(self) -> None:
        """Close all files, and leave the place to others."""
        for file in self._files:
            file.close()
        if self._has_place:
            self._has_place = False
            self._places.release()


class SentFile(SpooledTemporaryFile[bytes]):
    """A file that arrives; its first bytes decide what it counts as."""

    def __init__(self, arrival: Arrival) -> None:
        super().__init__()
        self._arrival = arrival
        self._head = b""
        self._size = 0

    @property
    def is_zip(self) -> bool:
        return is_zip(self._head)

    def write(self, data: Any) -> int:
        """Write bytes. Raises RequestEntityTooLarge, TooLarge or Unavailable."""
        self._head += bytes(data[: SIGNATURE - len(self._head)])
        self._size += len(data)
        if not self.is_zip:
            self._arrival.take_photo(len(data))
            return super().write(data)
        self._arrival.take_zip(len(data))
        return self._write_zip(data)

    def _write_zip(self, data: bytes) -> int:
        try:
            if self._size > IN_MEMORY:
                self.rollover()
            return super().write(data)
        except OSError as exc:
            raise Unavailable(NO_ROOM) from exc


class ZipRequest(Request):
    """A request whose zip files may be larger than everything else in it; of these, only large ones leave memory."""

    _is_kept_open = False
    make_arrival: Callable[[], Arrival]

    @cached_property
    def arrival(self) -> Arrival:
        return type(self).make_arrival()

    def allow_zips(self, settings: Settings) -> None:
        """Allow zip files in this request, besides photos, before its body is read."""
        self.max_content_length = (settings.max_upload_mb + settings.max_zip_mb) * 2**20

    def keep_open(self) -> Callable[[], None]:
        """Keep the files of this request open beyond its context, until the function that is returned is called."""
        self._is_kept_open = True
        return self._close

    def close(self) -> None:
        if not self._is_kept_open:
            self._close()

    def _close(self) -> None:
        super().close()
        self.arrival.close()

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return self.arrival.file()


def request_class(settings: Settings) -> type[ZipRequest]:
    """Return the class of a site's requests."""
    places = threading.Semaphore(ZIPS_AT_ONCE)

    class SiteRequest(ZipRequest):
        make_arrival = staticmethod(lambda: Arrival(settings, places))

    return SiteRequest
