"""The outcome of one photo: made from the engine's answer, kept under an address, and loaded from there."""

import base64
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from flask import url_for

from classifier.contract import Answer, Engine, Prediction, SimilarPhoto
from classifier.errors import ClassifierError
from classifier.photos.fit import preview_size
from classifier.ranking import combined, ranked
from classifier.storage.kept import KeptResults
from classifier.terms import Broader, Certainty, certainty
from web.problems import Problem, problem

log = logging.getLogger(__name__)

KEPT = ("familiar", "familiarity", "knows", "notice", "size")  # members that are kept if there is a value


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Either predictions or an error. `picture` is the picture's address on the page."""

    filename: str | None = None  # as sent, made printable; not kept
    id: str | None = None
    url: str | None = None
    picture: str | None = None
    size: tuple[int, int] | None = None  # of the picture: (width, height)
    predictions: tuple[Prediction, ...] = ()
    sure: bool | None = None  # whether the top prediction is sure by itself; None if the model does not say
    broader: Broader | None = None  # what is sure if it is not
    is_named: bool = True  # False below the threshold: then the page says "not sure" in place of a name
    familiar: bool | None = None  # whether the photo looks like those that the model was trained on, if it judges that
    familiarity: float | None = None
    similar: tuple[SimilarPhoto, ...] = ()  # the nearest of those
    knows: int | None = None  # how many classes the model has
    seconds: float | None = None
    feedback: dict[str, Any] | None = None  # the visitor's: label, right
    notice: str | None = None
    error: Problem | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome in the shape that `POST /` promises."""
        if self.error:
            return {"filename": self.filename, "error": self.error.as_json()}
        optional = {name: getattr(self, name) for name in ("notice", "feedback", "familiar", "familiarity")}
        answer = answer_json(self.predictions, self.sure, self.broader, **optional)
        return {"filename": self.filename, "id": self.id, "url": self.url} | answer


@dataclass(frozen=True)
class Together:
    """The one answer for several photos of one thing."""

    photos: int
    predictions: tuple[Prediction, ...]
    sure: bool | None
    broader: Broader | None
    is_named: bool
    familiar: bool | None  # False if none of the photos looks like those that the model was trained on
    knows: int

    def as_json(self) -> dict[str, Any]:
        return answer_json(self.predictions, self.sure, self.broader, familiar=self.familiar)


def answer_json(
    predictions: Sequence[Prediction], sure: bool | None, broader: Broader | None, **optional: Any
) -> dict[str, Any]:
    """Return an answer in JSON; without those members that do not apply."""
    optional |= {"sure": sure, "broader": broader and asdict(broader)}
    present = {name: value for name, value in optional.items() if value is not None}
    return present | {"predictions": [asdict(prediction) for prediction in predictions]}


def any_of(judgements: Sequence[bool | None]) -> bool | None:
    """Return True if any photo is familiar, False if none is, and None if that is not judged."""
    made = [judgement for judgement in judgements if judgement is not None]
    return any(made) if made else None


class Outcomes:
    """Makes outcomes of answers and keeps them.

    An answer lists `top` classes. A top probability below `threshold` (0 to 1), or the model's own if that is None,
    counts as not sure.
    """

    def __init__(self, engine: Engine, uploads: KeptResults, threshold: float | None, top: int) -> None:
        self._engine = engine
        self._uploads = uploads
        self._threshold = threshold
        self._top = top

    def threshold(self) -> float:
        return self._engine.model.threshold if self._threshold is None else self._threshold

    def record(self, filename: str, answer: Answer | ClassifierError, keep: bool = True) -> Outcome:
        """Return the outcome of an answer, kept if it shall and can be; its picture can be shown even if it is not."""
        if isinstance(answer, ClassifierError):
            return Outcome(filename=filename, error=problem(answer))
        sure, broader = self._certainty(answer.predictions, answer.broader)
        outcome = Outcome(
            filename=filename,
            size=preview_size(answer.preview),
            predictions=answer.predictions,
            sure=sure,
            broader=broader,
            is_named=self._is_named(answer.predictions),
            familiar=answer.familiar,
            familiarity=answer.familiarity,
            similar=answer.similar,
            knows=len(self._engine.model.labels),
            seconds=answer.seconds,
            notice=answer.notice or None,
        )
        if not keep or not self._uploads.enabled:
            return with_embedded_picture(outcome, answer.preview)
        try:
            return with_addresses(outcome, self._keep(outcome, answer.preview))
        except OSError:
            log.exception("A result could not be kept.")
            notice = f"{answer.notice} This result could not be kept, so it has no address of its own.".lstrip()
            return replace(with_embedded_picture(outcome, answer.preview), notice=notice)

    def together(self, answers: Sequence[Answer | ClassifierError]) -> Together | None:
        """Return the one answer for all photos that could be answered; None if none could."""
        answered = [answer for answer in answers if isinstance(answer, Answer) and answer.scores is not None]
        scores = [answer.scores for answer in answered if answer.scores is not None]
        if not scores:
            return None
        model, probabilities = self._engine.model, combined(scores)
        predictions = ranked(probabilities, model.labels, self._top)
        familiar = any_of([answer.familiar for answer in answered])
        sure, broader = self._certainty(predictions, model.terms.surest(probabilities))
        if familiar is False:
            broader = None
        is_named, knows = self._is_named(predictions), len(model.labels)
        return Together(len(scores), predictions, sure, broader, is_named, familiar, knows)

    def _certainty(self, predictions: Sequence[Prediction], broader: Broader | None) -> Certainty:
        return certainty(predictions[0].score, broader, self._engine.model.sure_from(self._threshold))

    def _is_named(self, predictions: Sequence[Prediction]) -> bool:
        return predictions[0].score >= self.threshold()

    def load(self, id: str) -> tuple[Outcome, str]:
        """Return the outcome kept under `id` and the name of its model. Raises ResultNotFound."""
        kept = self._uploads.answer(id)
        return outcome_of(id, kept), kept["model"]

    def load_all(self, ids: Sequence[str]) -> list[Outcome]:
        """Return the outcomes that are kept under `ids`, in that order; those that are gone are left out."""
        return [outcome_of(id, kept) for id, kept in self._uploads.answers(ids).items()]

    def _keep(self, outcome: Outcome, preview: bytes) -> str:
        about: dict[str, Any] = {"model": self._engine.model.name, "is_named": outcome.is_named}
        about |= {"similar": [photo._asdict() for photo in outcome.similar]} if outcome.similar else {}
        optional = {name: getattr(outcome, name) for name in KEPT}
        return self._uploads.keep(
            preview, about | answer_json(outcome.predictions, outcome.sure, outcome.broader, **optional)
        )


def outcome_of(id: str, kept: dict[str, Any]) -> Outcome:
    """Return the outcome of an answer that is kept under `id`."""
    predictions = tuple(Prediction(**prediction) for prediction in kept["predictions"])
    optional = {name: kept.get(name) for name in (*KEPT, "sure", "feedback")}
    broader = Broader(**kept["broader"]) if kept.get("broader") else None
    similar = tuple(SimilarPhoto(**photo) for photo in kept.get("similar", ()))
    is_named = kept.get("is_named", kept.get("sure") is not False)  # before broader terms, these were the same
    outcome = Outcome(predictions=predictions, broader=broader, is_named=is_named, similar=similar, **optional)
    return with_addresses(outcome, id)


def with_addresses(outcome: Outcome, id: str) -> Outcome:
    """Return the outcome with the addresses under which it is kept."""
    return replace(outcome, id=id, url=url_for("result", id=id), picture=url_for("image", id=id))


def with_embedded_picture(outcome: Outcome, preview: bytes) -> Outcome:
    """Return the outcome with its picture as a data URL."""
    return replace(outcome, picture="data:image/jpeg;base64," + base64.b64encode(preview).decode())
