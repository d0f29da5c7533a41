"""What visitors say about the answers: kept with the result, and beyond its expiry only if they allow it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifier import atomic
from classifier.errors import ResultNotFound, Unavailable
from classifier.storage.kept import KeptResults
from classifier.storage.stores import Place, below
from classifier.text import printable

FOREVER_HOURS = 1e9
MAX_LABEL = 100  # characters


class Feedback:
    """Verdicts on kept results. Photos that may be kept longer lie in `feedback/` at the place, within `keep_mb`."""

    def __init__(self, results: KeptResults, place: Place, keep_mb: float) -> None:
        self._results = results
        self._allowed = KeptResults(below(place, "feedback"), FOREVER_HOURS, keep_mb)

    def give(self, id: str, label: str, right: bool, may_be_kept: bool) -> dict[str, Any]:
        """Keep that a result shows `label` ("" if unknown), and if the model was right. Returns both as kept.

        Raises ResultNotFound or Unavailable.
        """
        try:
            given = {"label": cleaned(label), "right": right}
            answer = self._results.amend(id, {"feedback": given})
            if may_be_kept:
                self._allowed.keep(self._results.picture(id), answer, id)
            return given
        except OSError as exc:
            raise Unavailable("Your feedback could not be kept; please try again shortly.") from exc

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
    return str(answer.get("feedback", {}).get("label", ""))


def cleaned(label: str) -> str:
    """Return a visitor's input as one short printable line."""
    return printable(label, " ").strip()[:MAX_LABEL]


def folder_name(label: str) -> str:
    """Return a label as the name of a folder, valid on any system and never a path that leads elsewhere."""
    return re.sub(r'[<>:"/\\|?*]', "_", label).strip(". ") or "_"
