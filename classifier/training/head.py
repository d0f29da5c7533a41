"""The head of transfer learning: multinomial logistic regression on the features of a backbone.

Features are standardised, and arcsinh then draws their outliers in. The strength of the regularisation is chosen by
cross-validation, whose held-out logits also serve to calibrate the probabilities.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from classifier.errors import DataError
from classifier.training.calibration import loss, temperature

STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(-8, 3))  # C of scikit-learn; the first is the strongest
FOLDS = 5
TOLERANCE, ITERATIONS = 1e-3, 500  # of L-BFGS; closer to its limit, it takes longer and generalises no better

ClassWeights = dict[int, float] | None


class Head(NamedTuple):
    """Fitted layers that map features (n, channels) to logits (n, classes)."""

    standardise: keras.layers.Normalization
    classify: keras.layers.Dense
    held_out: np.ndarray  # (n, classes): the logits of each photo by a head that was fitted without it

    def __call__(self, features: keras.KerasTensor) -> keras.KerasTensor:
        return self.classify(keras.ops.arcsinh(self.standardise(features)))


class Observations(NamedTuple):
    """Standardised features (n, channels) and labels, int (n,)."""

    values: np.ndarray
    labels: np.ndarray

    def take(self, photos: np.ndarray) -> "Observations":
        return Observations(self.values[photos], self.labels[photos])


class Trial(NamedTuple):
    """A strength of the regularisation, the held-out logits (n, classes) and their loss."""

    strength: float
    logits: np.ndarray
    loss: float


def fit_head(
    features: np.ndarray, labels: np.ndarray, members: np.ndarray, class_weights: ClassWeights, seed: int
) -> Head:
    """Fit a head to the photos at `members`, with the regularisation that gives unseen photos the lowest loss.

    All photos choose the regularisation: `features`, float32 (n, channels), and `labels`, int (n,), with two or more
    of every class. Raises DataError if a feature is not a number.
    """
    if not np.isfinite(features).all():
        raise DataError("The backbone's features are not all numbers; please choose other --weights.")
    standardise = keras.layers.Normalization(name="standardised")
    standardise.adapt(features)
    values = keras.ops.convert_to_numpy(keras.ops.arcsinh(standardise(features)))
    observations = Observations(values, labels)
    chosen = first_minimum(cross_validated(observations, class_weights, seed))
    head = regression(class_weights)
    fit(head, chosen.strength, observations.take(members))
    return Head(standardise, dense(head), chosen.logits)


def first_minimum(trials: Iterator[Trial]) -> Trial:
    """Return the last trial before the loss rises; weaker regularisation would only take longer to fit."""
    best = next(trials)
    for trial in trials:
        if trial.loss > best.loss:
            break
        best = trial
    return best


def cross_validated(observations: Observations, class_weights: ClassWeights, seed: int) -> Iterator[Trial]:
    """Try each strength: the logits of every photo are those of a head that was fitted to the other folds."""
    labels = observations.labels
    splits = folds(labels, seed)
    heads = [regression(class_weights) for _ in splits]
    for strength in STRENGTHS:
        logits = np.zeros((len(labels), labels.max() + 1))
        for head, (others, fold) in zip(heads, splits, strict=True):
            fit(head, strength, observations.take(others))
            logits[fold] = head.predict_log_proba(observations.values[fold])
        yield Trial(strength, logits, loss(logits / temperature(logits, labels), labels))


def folds(labels: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return FOLDS stratified folds, or as many as the smallest class has photos, each after the photos outside it."""
    count = min(FOLDS, np.bincount(labels).min())
    return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels))


def regression(class_weights: ClassWeights) -> LogisticRegression:
    """Return a multinomial logistic regression, which starts each fit from the one before."""
    return LogisticRegression(class_weight=class_weights, tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)


def fit(head: LogisticRegression, strength: float, observations: Observations) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is nearly fitted serves as well
        head.set_params(C=strength).fit(*observations)


def dense(head: LogisticRegression) -> keras.layers.Dense:
    """Return a fitted regression as a layer. Of two classes, it holds only the difference of their logits."""
    kernel, bias = head.coef_.T, head.intercept_
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    layer = keras.layers.Dense(kernel.shape[1], name="logits")
    layer.build((None, len(kernel)))
    layer.set_weights([kernel, bias])
    return layer
