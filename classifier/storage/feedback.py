"""What visitors said of the answers: kept with the result, and longer only where they allowed it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifier.errors import ResultNotFound, Unavailable
from classifier.storage.kept import KeptResults
from classifier.storage.stores import Place, below
from classifier.text import printable

FOREVER_HOURS = 1e9
MAX_LABEL = 100


class Feedback:
    """Verdicts on kept results. Photos that may be kept longer lie in `feedback/` at the place, within `keep_mb`."""

    def __init__(self, uploads: KeptResults, place: Place, keep_mb: float) -> None:
        self._uploads = uploads
        self._allowed = KeptResults(below(place, "feedback"), FOREVER_HOURS, keep_mb)

    def give(self, id: str, label: str, right: bool, may_be_kept: bool) -> dict[str, Any]:
        """Note that a result shows `label` ("" for: not known), and whether that is what the model said; returns both.

        Raises ResultNotFound or Unavailable.
        """
        try:
            noted = {"label": cleaned(label), "right": right}
            answer = self._uploads.amend(id, {"feedback": noted})
            if may_be_kept:
                self._allowed.keep(self._uploads.picture(id), answer, id)
            return noted
        except OSError as exc:
            raise Unavailable("What you said could not be kept; please try again shortly.") from exc

    def delete(self, id: str) -> None:
        """Delete a result with all that was said of it. Raises ResultNotFound or Unavailable."""
        self._allowed.discard(id)
        self._uploads.delete(id)

    def labelled(self) -> Iterator[tuple[str, str, bytes]]:
        """(id, label, JPEG) of every photo that somebody named, confirmed or corrected."""
        for uploads in (self._allowed, self._uploads):
            for id in uploads.ids():
                try:
                    label = feedback_label(uploads.answer(id))
                    picture = uploads.picture(id)
                except ResultNotFound:  # deleted or expired meanwhile
                    continue
                if label:
                    yield id, label, picture


def export(feedback: Feedback, folder: Path) -> int:
    """Write the named photos as a folder of classes, which `train` reads; returns how many there are."""
    ids = set()
    for id, label, picture in feedback.labelled():
        path = folder / folder_name(label) / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        ids.add(id)
    return len(ids)


def feedback_label(answer: dict[str, Any]) -> str:
    return str(answer.get("feedback", {}).get("label", ""))


def cleaned(label: str) -> str:
    """What a visitor typed, as one short printable line."""
    return printable(label, " ").strip()[:MAX_LABEL]


def folder_name(label: str) -> str:
    """A label as a folder's name on any system, and never one that leads elsewhere."""
    return re.sub(r'[<>:"/\\|?*]', "_", label).strip(". ") or "_"
