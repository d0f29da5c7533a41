"""What visitors say about the answers: kept with the result, and beyond its expiry only if they allow it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from classifier import atomic
from classifier.errors import ResultNotFound, Unavailable
from classifier.storage.kept import KeptResults
from classifier.storage.stores import Place, below
from classifier.text import printable

FOREVER_HOURS = 1e9
MAX_LABEL = 100  # characters


class Verdict(NamedTuple):
    """What a visitor says of an answer: what the photo shows ("" if unknown), and if the answer was right."""

    label: str
    right: bool
    bad_photo: bool = False  # too dark, blurred, or of nothing


class Feedback:
    """Verdicts on kept results. Photos that may be kept longer lie in `feedback/` at the place, within `keep_mb`."""

    def __init__(self, results: KeptResults, place: Place, keep_mb: float) -> None:
        self._results = results
        self._allowed = KeptResults(below(place, "feedback"), FOREVER_HOURS, keep_mb)

    def give(self, id: str, verdict: Verdict, may_be_kept: bool) -> dict[str, Any]:
        """Keep a verdict with its result, and the photo longer if it may be. Returns the verdict as kept.

        Raises ResultNotFound or Unavailable.
        """
        given: dict[str, Any] = {"label": cleaned(verdict.label), "right": verdict.right}
        given |= {"bad_photo": True} if verdict.bad_photo else {}
        given |= {"kept": True} if may_be_kept else {}
        with unavailable("Your feedback could not be kept; please try again shortly."):
            answer = self._results.amend(id, {"feedback": given})
            if may_be_kept:
                self._allowed.keep(self._results.picture(id), answer, id)
        return given

    def take_back(self, id: str) -> None:
        """Forget the verdict on a result, and the photo kept for it. Raises ResultNotFound or Unavailable."""
        self._allowed.discard(id)
        with unavailable("Your feedback could not be taken back; please try again shortly."):
            self._results.amend(id, {"feedback": None})

    def delete(self, id: str) -> None:
        """Delete a result with its feedback. Raises ResultNotFound or Unavailable."""
        self._allowed.discard(id)
        self._results.delete(id)

    def labelled(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield (id, label, JPEG) of every photo that a visitor named, by confirming or correcting the answer."""
        for results in (self._allowed, self._results):
            for id in results.ids():
                try:
                    label = feedback_label(results.answer(id))
                    picture = results.picture(id)
                except ResultNotFound:  # deleted or expired meanwhile
                    continue
                if label:
                    yield id, label, picture


def export(feedback: Feedback, folder: Path) -> int:
    """Write the named photos as a folder of classes, which `train` reads, and return their number. Raises OSError."""
    ids = set()
    for id, label, picture in feedback.labelled():
        path = folder / folder_name(label) / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.writing(path, durable=False) as part:  # it can be exported again
            part.write_bytes(picture)
        ids.add(id)
    return len(ids)


def feedback_label(answer: dict[str, Any]) -> str:
    return str((answer.get("feedback") or {}).get("label", ""))


@contextmanager
def unavailable(sentence: str) -> Iterator[None]:
    """Turn a store's errors into Unavailable."""
    try:
        yield
    except OSError as exc:
        raise Unavailable(sentence) from exc


def cleaned(label: str) -> str:
    """Return a visitor's input as one short printable line."""
    return printable(label, " ").strip()[:MAX_LABEL]


def folder_name(label: str) -> str:
    """Return a label as the name of a folder, valid on any system and never a path that leads elsewhere."""
    return re.sub(r'[<>:"/\\|?*]', "_", label).strip(". ") or "_"
