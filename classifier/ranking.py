"""Probabilities -> the best classes, for one photo or for several photos of one thing."""

from collections.abc import Sequence

import numpy as np

from classifier.contract import Label, Prediction

SMALLEST = np.finfo(np.float32).tiny  # what a probability of 0 counts as: one photo alone rules nothing out


def ranked(scores: np.ndarray, labels: Sequence[Label], top: int) -> tuple[Prediction, ...]:
    """Return the `top` most probable classes, best first, of float32 probabilities (classes,)."""
    best = np.argsort(-scores, kind="stable")[:top]
    return tuple(Prediction(int(i), labels[i].wnid, labels[i].name, float(scores[i])) for i in best)


def combined(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probabilities, float32 (classes,), of what several photos show together.

    They are the geometric mean of the photos' own, each (classes,), renormalised.
    """
    logarithms = np.log(np.maximum(np.stack(scores), SMALLEST), dtype=np.float64).mean(axis=0)
    means = np.exp(logarithms - logarithms.max())  # in the largest there is a 1, so that the sum is never 0
    return np.asarray(means / means.sum(), np.float32)
