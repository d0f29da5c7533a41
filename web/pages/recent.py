"""A visitor's own last results: their ids in signed cookies, nothing on the server.

Each request that keeps results sets a cookie of its own, because requests that run side by side would undo each other's
changes to a shared one. Cookies that were not signed here are ignored.
"""

import hashlib
import logging
import time
from collections.abc import Sequence

from flask import Response, request
from itsdangerous import BadSignature, Signer

from classifier.storage.kept import KeptResults
from web.pages.outcome import Outcome, Outcomes

log = logging.getLogger(__name__)

MAX_RECENT = 24  # ids in all cookies of a visitor; as many cookies have 2.5 kB at most
COOKIE = "recent-"  # and the time in nanoseconds, so that the names sort by age
Cookies = dict[str, list[str]]  # name -> ids


class Recent:
    """The recent results of the visitor who sent the current request."""

    def __init__(self, uploads: KeptResults, outcomes: Outcomes, keep_hours: float) -> None:
        self._uploads = uploads
        self._outcomes = outcomes
        self._max_age_s = int(keep_hours * 3600)

    def outcomes(self) -> list[Outcome]:
        """Return the results that are still kept, the newest request's first."""
        ids = [id for batch in self._cookies().values() for id in batch]
        return self._outcomes.load_all(ids[:MAX_RECENT]) if ids else []

    def add(self, response: Response, outcomes: Sequence[Outcome]) -> None:
        """Let the visitor's browser remember those outcomes that are kept, and forget the oldest beyond the bound."""
        ids = [outcome.id for outcome in outcomes if outcome.id][-MAX_RECENT:]
        if not ids:
            return
        self._set(response, f"{COOKIE}{time.time_ns():020}", ids)
        room = MAX_RECENT - len(ids)
        for name, batch in self._cookies().items():
            if room <= 0:
                response.delete_cookie(name)
            room -= len(batch)

    def remove(self, response: Response, id: str) -> None:
        """Let the visitor's browser forget one result."""
        for name, batch in self._cookies().items():
            if id in batch:
                self._set(response, name, [other for other in batch if other != id])

    def forget(self, response: Response) -> None:
        """Let the visitor's browser forget all results."""
        for name in self._cookies():
            response.delete_cookie(name)

    def _cookies(self) -> Cookies:
        """Return the ids in each of the request's own cookies, the newest first."""
        names = sorted((name for name in request.cookies if name.startswith(COOKIE)), reverse=True)
        read = {name: self._read(name, request.cookies[name]) for name in names}
        return {name: ids for name, ids in read.items() if ids}

    def _read(self, name: str, value: str) -> list[str]:
        signer = self._signer(name)
        try:
            return signer.unsign(value).decode().split("-") if signer else []
        except BadSignature:
            return []

    def _set(self, response: Response, name: str, ids: list[str]) -> None:
        signer = self._signer(name)
        if not ids:
            response.delete_cookie(name)
        elif signer:
            value = signer.sign("-".join(ids)).decode()
            response.set_cookie(name, value, self._max_age_s, secure=request.is_secure, httponly=True, samesite="Lax")

    def _signer(self, name: str) -> Signer | None:
        """Return what signs the cookie of this name; None if nothing is kept, or the key cannot be read for now."""
        if not self._uploads.enabled:
            return None
        try:
            return Signer(self._uploads.key(), salt=name, digest_method=hashlib.sha256)
        except OSError:
            log.exception("The key of the cookies cannot be read, so recent results are not listed.")
            return None
