"""The English of an answer."""

from functools import cache

from classifier.contract import Prediction
from web.pages.inflection import inflect

MAX_NAME = 255


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
