"""The engine's answer -> a result, kept under an address if that is wanted and works."""

import base64
import logging
from dataclasses import asdict, replace

from flask import url_for

from classifier.contract import Answer, Prediction
from classifier.errors import ClassifierError
from classifier.storage.kept import Uploads
from web.pages.outcome import Result
from web.problems import problem

log = logging.getLogger(__name__)


class Answers:
    """Makes results of answers. Under `threshold` (0 to 1), a top probability is not enough to name the photo."""

    def __init__(self, model: str, uploads: Uploads, threshold: float) -> None:
        self._model = model
        self._uploads = uploads
        self._threshold = threshold

    def result(self, filename: str, answer: Answer | ClassifierError) -> Result:
        """What to say of a photo; its picture can be seen even where it cannot be kept."""
        if isinstance(answer, ClassifierError):
            return Result(filename=filename, error=problem(answer))
        sure = answer.predictions[0].score >= self._threshold if self._threshold else None
        result = Result(filename=filename, predictions=answer.predictions, sure=sure, seconds=answer.seconds)
        if not self._uploads.enabled:
            return embedded(result, answer.preview)
        try:
            return located(result, self._keep(result, answer.preview))
        except OSError:
            log.exception("A result could not be kept.")
            notice = "This answer could not be kept, so it has no address of its own."
            return replace(embedded(result, answer.preview), notice=notice)

    def kept(self, id: str) -> tuple[Result, str]:
        """The result kept under `id`, and the model it is from. Raises ResultNotFound."""
        answer = self._uploads.answer(id)
        predictions = tuple(Prediction(**prediction) for prediction in answer["predictions"])
        result = Result(predictions=predictions, sure=answer.get("sure"), feedback=answer.get("feedback"))
        return located(result, id), answer["model"]

    def _keep(self, result: Result, preview: bytes) -> str:
        predictions = [asdict(prediction) for prediction in result.predictions]
        answer = {"model": self._model, "predictions": predictions, "sure": result.sure}
        return self._uploads.keep(preview, answer)


def located(result: Result, id: str) -> Result:
    """The result with the addresses under which it is kept."""
    return replace(result, id=id, url=url_for("result", id=id), picture=url_for("image", id=id))


def embedded(result: Result, preview: bytes) -> Result:
    """The result with its picture in the page itself."""
    return replace(result, picture="data:image/jpeg;base64," + base64.b64encode(preview).decode())
