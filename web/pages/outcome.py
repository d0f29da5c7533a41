"""One photo's outcome as the outside sees it: in JSON, and in words."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import inflect

from classifier.contract import Prediction
from web.problems import Problem

MAX_NAME = 255


@dataclass(frozen=True, kw_only=True)
class Result:
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


def sentence(prediction: Prediction) -> str:
    """ "The image you uploaded is an Egyptian cat (47.31%)"."""
    return f"The image you uploaded is {with_article(readable(prediction.label))} ({percent(prediction.score)})"


def readable(label: str) -> str:
    """A label without the underscores of `decode_predictions`."""
    return label.replace("_", " ")


def percent(score: float) -> str:
    """A probability with two decimals, "47.31%"."""
    return f"{score * 100:.2f}%"


def printable(filename: str) -> str:
    """A sent file name to show and send back: its last part, without control characters, not endless."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:MAX_NAME]


@cache
def with_article(noun: str) -> str:
    """ "a unicycle", but "an umbrella"."""
    return articles().a(noun)


@cache
def articles() -> inflect.engine:
    """Knows English."""
    return inflect.engine()
