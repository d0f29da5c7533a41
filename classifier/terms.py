"""Broader terms: what a photo surely shows, such as a dog, where the class alone is not sure."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

# From this probability on, a name is said without doubt: that of a class of ImageNet, or a broader term. In the
# measurements of docs/models.md, most of the terms between 0.50 and 0.55 were wrong.
SURE = 0.55


class Term(NamedTuple):
    """A word for several classes: its WordNet ID ("" if it has none), the word, and the outputs of its classes."""

    wnid: str
    label: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Broader:
    """A broader term than the best class, and its probability, 0 to 1: the sum over its classes."""

    wnid: str
    label: str
    score: float


@dataclass(frozen=True)
class Terms:
    """The broader terms of a model's classes; none if it has no terms."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def surest(self, scores: np.ndarray) -> Broader | None:
        """Return the narrowest term above the best class that is sure, from float32 probabilities (classes,)."""
        for term, classes in self._above.get(int(scores.argmax()), ()):
            score = float(scores[classes].sum())
            if score >= SURE:
                return Broader(term.wnid, term.label, min(score, 1.0))
        return None

    @cached_property
    def _above(self) -> dict[int, list[tuple[Term, np.ndarray]]]:
        """The terms of each class, with the outputs to add up; those of few classes first."""
        above = defaultdict(list)
        for term in sorted(self.terms, key=lambda term: len(term.classes)):
            entry = (term, np.array(term.classes))
            for index in term.classes:
                above[index].append(entry)
        return dict(above)


NO_TERMS = Terms()


class Certainty(NamedTuple):
    """Whether the best class is sure by itself (None if that is never asked), and the broader term if it is not."""

    sure: bool | None = None
    broader: Broader | None = None


def certainty(score: float, broader: Broader | None, sure_from: float) -> Certainty:
    """Return how sure an answer is whose best class has the probability `score`.

    A name is sure from the probability `sure_from` on; 0 if every name counts as sure.
    """
    if not sure_from:
        return Certainty()
    if score >= sure_from:
        return Certainty(sure=True)
    return Certainty(False, broader if broader and broader.score >= sure_from else None)
