"""The wording of a result: sentences, labels, percentages and file names."""

import re
import unicodedata
from functools import cache

from classifier import text
from classifier.contract import Prediction
from classifier.terms import Broader
from web.pages.inflection import inflect
from web.pages.nouns import is_singular_noun

MAX_NAME = 255
FROM_RIGHT = ("R", "AL")  # letters of Hebrew, of Arabic
ISOLATE, POP = "\u2068", "\u2069"  # the direction of what is between them is its own
WORDNET_ID = re.compile(r"n\d+")


def sentence(prediction: Prediction) -> str:
    """Return "The image you uploaded is an Egyptian cat (47.31%)", or without an article for classes that take none.

    All classes of ImageNet take one.
    """
    label, score = readable(prediction.label), percent(prediction.score)
    if takes_article(prediction.wnid, label):
        return f"The image you uploaded is {with_article(label)} ({score})"
    return f"This looks like: {isolated(label)} ({score})"


def none_of_these(classes: int) -> str:
    """Return the sentence for a photo of none of the model's classes, of which there are at least two."""
    return f"This does not look like any of the {classes:,} things this model knows"


def together_sentence(prediction: Prediction) -> str:
    """Return "Together, the photos show an Egyptian cat (47.31%)", or without an article, as `sentence`."""
    return f"Together, the photos show {named(prediction.wnid, prediction.label)} ({percent(prediction.score)})"


def surely(broader: Broader) -> str:
    """Return "Surely a dog (97%)" for a broader term."""
    return f"Surely {named(broader.wnid, broader.label)} ({text.percent(broader.score, decimals=0)})"


def named(wnid: str, label: str) -> str:
    """Return a readable label, with an article if it takes one."""
    readable_label = readable(label)
    return with_article(readable_label) if takes_article(wnid, readable_label) else isolated(readable_label)


def takes_article(wnid: str, label: str) -> bool:
    """Return True for all classes and broader terms of ImageNet, and for other labels that are singular nouns."""
    return bool(WORDNET_ID.fullmatch(wnid)) or is_singular_noun(label)


def readable(label: str) -> str:
    """Return a label with spaces instead of the underscores of `decode_predictions`."""
    return label.replace("_", " ")


def isolated(label: str) -> str:
    """Return a label from right to left so that what follows it in a sentence stays left to right (UAX 9)."""
    is_from_right = any(unicodedata.bidirectional(character) in FROM_RIGHT for character in label)
    return f"{ISOLATE}{label}{POP}" if is_from_right else label


def percent(score: float, decimals: int = 2) -> str:
    """Return a probability (0 to 1) as a percentage, by default with two decimals, "47.31%"."""
    return text.percent(score, decimals)


def printable(filename: str) -> str:
    """Return the last part of a sent file name, without control characters and at most 255 characters long."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    return text.printable(name, replacement="")[:MAX_NAME]


@cache
def with_article(noun: str) -> str:
    """Return "a unicycle" for "unicycle", but "an umbrella" for "umbrella"."""
    return inflector().a(noun)


@cache
def inflector() -> inflect.engine:
    """Return the inflector behind `with_article`; created once."""
    return inflect.engine()
