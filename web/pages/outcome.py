"""One photo's outcome as the outside sees it: in JSON, and in words."""

import base64
import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

from flask import url_for

from classifier.contract import Answer, Prediction
from classifier.errors import ClassifierError
from classifier.storage.kept import KeptResults
from web.problems import Problem, problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Either predictions, or what went wrong. `picture` is the address of the picture, for the page."""

    filename: str | None = None  # as sent, made printable; not kept
    id: str | None = None
    url: str | None = None
    picture: str | None = None
    predictions: tuple[Prediction, ...] = ()
    sure: bool | None = None  # whether the first prediction reaches the model's threshold, if there is one
    seconds: float | None = None  # how long the answer took
    feedback: dict[str, Any] | None = None  # what the visitor said of it: label, right
    notice: str | None = None
    error: Problem | None = None

    def as_json(self) -> dict[str, Any]:
        """The result in the shape that `POST /` promises."""
        if self.error:
            return {"filename": self.filename, "error": self.error.as_json()}
        optional = {"notice": self.notice, "sure": self.sure, "feedback": self.feedback}
        return (
            {"filename": self.filename, "id": self.id, "url": self.url}
            | {name: value for name, value in optional.items() if value is not None}
            | {"predictions": [asdict(prediction) for prediction in self.predictions]}
        )


class Outcomes:
    """Makes results of answers. Under `threshold` (0 to 1), a top probability is not enough to name the photo."""

    def __init__(self, model: str, uploads: KeptResults, threshold: float) -> None:
        self._model = model
        self._uploads = uploads
        self._threshold = threshold

    def result(self, filename: str, answer: Answer | ClassifierError) -> Outcome:
        """What to say of a photo; its picture can be seen even where it cannot be kept."""
        if isinstance(answer, ClassifierError):
            return Outcome(filename=filename, error=problem(answer))
        sure = answer.predictions[0].score >= self._threshold if self._threshold else None
        result = Outcome(filename=filename, predictions=answer.predictions, sure=sure, seconds=answer.seconds)
        if not self._uploads.enabled:
            return embedded(result, answer.preview)
        try:
            return located(result, self._keep(result, answer.preview))
        except OSError:
            log.exception("A result could not be kept.")
            notice = "This answer could not be kept, so it has no address of its own."
            return replace(embedded(result, answer.preview), notice=notice)

    def kept(self, id: str) -> tuple[Outcome, str]:
        """The result kept under `id`, and the model it is from. Raises ResultNotFound."""
        answer = self._uploads.answer(id)
        predictions = tuple(Prediction(**prediction) for prediction in answer["predictions"])
        result = Outcome(predictions=predictions, sure=answer.get("sure"), feedback=answer.get("feedback"))
        return located(result, id), answer["model"]

    def _keep(self, result: Outcome, preview: bytes) -> str:
        predictions = [asdict(prediction) for prediction in result.predictions]
        answer = {"model": self._model, "predictions": predictions, "sure": result.sure}
        return self._uploads.keep(preview, answer)


def located(result: Outcome, id: str) -> Outcome:
    """The result with the addresses under which it is kept."""
    return replace(result, id=id, url=url_for("result", id=id), picture=url_for("image", id=id))


def embedded(result: Outcome, preview: bytes) -> Outcome:
    """The result with its picture in the page itself."""
    return replace(result, picture="data:image/jpeg;base64," + base64.b64encode(preview).decode())
