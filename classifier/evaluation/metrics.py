"""Metrics from probabilities: pure functions, independent of models and files."""

import math
from typing import Any

import numpy as np
from sklearn.metrics import (
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from classifier.contract import FAMILIAR
from classifier.errors import DataError

TOP_K = (3, 5)
BINS = 10
FAMILIARITY_BINS = 20
LEAST = 1e-7  # the loss counts a probability of 0 as this, as Keras does
QUANTILE = 1.959964  # of the standard normal distribution: 95% lie within as many standard deviations
SCORES = ("precision", "recall", "f1", "support")


def measure(
    scores: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    majority: int,
    threshold: float = 0.0,
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Compare probabilities (n, classes) with the true labels, int (n,); the metrics can be written as JSON.

    `majority` is the most frequent class in training; always predicting it is the baseline. With a `threshold`, an
    answer counts as given only if its probability reaches it. With the `temperature` by which the logits were divided,
    the calibration without it is added. Averages are over the classes that have photos here.
    Raises DataError if there are no photos, or a probability is not a number.
    """
    check(scores, labels)
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    right = predicted == labels
    metrics = {
        "photos": len(labels),
        "loss": cross_entropy(scores, labels),
        "accuracy": float(right.mean()),
        "accuracy_interval": list(wilson_interval(float(right.mean()), len(right))),
        "top_k": {str(k): in_top(k, scores, labels) for k in TOP_K if k < len(classes)},
        "auc": auc(scores, labels),
        "averages": {kind: average(kind, labels, predicted) for kind in ("macro", "weighted")},
        "classes": per_class(labels, predicted, classes),
        "confusion": confusion_matrix(labels, predicted, labels=range(len(classes))).tolist(),
        "calibration": calibration(confidence, right),
        "baseline": {"class": classes[majority], "accuracy": float((labels == majority).mean())},
    }
    if threshold > 0:
        metrics["with_threshold"] = with_threshold(threshold, confidence, right)
    if temperature != 1:
        before = calibration(without_temperature(scores, temperature).max(axis=1), right)
        metrics["calibration_without_temperature"] = before
    return metrics


def check(scores: np.ndarray, labels: np.ndarray) -> None:
    if not len(labels):
        raise DataError("There are no photos to evaluate with; expected at least one.")
    if not np.isfinite(scores).all():
        raise DataError("The model's probabilities are not all numbers: its training failed; please train it again.")


def wilson_interval(share: float, photos: int) -> tuple[float, float]:
    """Return the 95% interval of a share that was found on some photos: lower and upper limit, 0 to 1.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    doubt = QUANTILE**2 / photos
    centre = share + doubt / 2
    deviation = QUANTILE * math.sqrt(share * (1 - share) / photos + doubt / photos / 4)
    low, high = (centre - deviation) / (1 + doubt), (centre + deviation) / (1 + doubt)
    return max(0.0, low), min(1.0, high)


def without_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities (n, classes) before their logits were divided by the temperature."""
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        logits = np.log(scores.astype(float)) * temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -ln(probability of the true class)."""
    clipped = scores.astype(float).clip(LEAST, 1)  # scikit-learn's own clipping is at 2e-16
    return log_loss(labels, clipped / clipped.sum(axis=1, keepdims=True), labels=range(scores.shape[1]))  # type: ignore[no-any-return]


def in_top(k: int, scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of photos whose class is among the k most probable; of equals, the first ranks first.

    scikit-learn ranks the last of equals first, argmax the first; so the classes are numbered from the end.
    """
    last = scores.shape[1] - 1
    return float(top_k_accuracy_score(last - labels, scores[:, ::-1], k=k, labels=range(last + 1)))


def auc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the area under the ROC curve, or None unless there are exactly two classes and both have photos."""
    if scores.shape[1] != 2 or len(np.unique(labels)) != 2:
        return None
    return float(roc_auc_score(labels, scores[:, 1]))


def average(kind: str, labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    values = precision_recall_fscore_support(labels, predicted, labels=np.unique(labels), average=kind, zero_division=0)
    return {name: float(value) for name, value in zip(SCORES[:-1], values[:-1], strict=True)}


def per_class(labels: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, dict[str, Any]]:
    table = precision_recall_fscore_support(labels, predicted, labels=range(len(classes)), zero_division=0)
    rows = zip(*(column.tolist() for column in table), strict=True)
    return {name: dict(zip(SCORES, row, strict=True)) for name, row in zip(classes, rows, strict=True)}


def calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Compare confidence with accuracy: of the answers given with 80%, about 80% should be right.

    Returns bins of equal width and the expected calibration error: the mean distance between confidence and accuracy
    over the bins, weighted by their photos.
    """
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    confidences = np.bincount(places, confidence, BINS) / np.maximum(counts, 1)
    accuracies = np.bincount(places, right, BINS) / np.maximum(counts, 1)
    bins = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "count": int(counts[i]),
            "confidence": float(confidences[i]) if counts[i] else None,
            "accuracy": float(accuracies[i]) if counts[i] else None,
        }
        for i in range(BINS)
    ]
    return {"bins": bins, "error": float(counts @ np.abs(confidences - accuracies) / counts.sum())}


def with_threshold(threshold: float, confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    answered = confidence >= threshold
    accuracy = float(right[answered].mean()) if answered.any() else None
    return {
        "threshold": threshold,
        "answered": float(answered.mean()),
        "accuracy_of_answered": accuracy,
        "interval_of_answered": None if accuracy is None else list(wilson_interval(accuracy, int(answered.sum()))),
    }


def familiarity(own: np.ndarray, strangers: np.ndarray | None = None) -> dict[str, Any]:
    """Measure how familiar photos of the classes, (n,), and strangers, (m,), look; both are from 0 to 1.

    Returns the share refused, that is, below FAMILIAR, and the number of photos in bins of equal width. With strangers,
    it adds theirs and the area under the ROC curve that tells them apart.
    """
    found: dict[str, Any] = refused(own)
    if strangers is None:
        return found
    return found | {"strangers": refused(strangers) | {"auroc": auroc(own, strangers)}}


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Return the probability that one of the values `higher` (n,) is above one of `lower` (m,); ties count half."""
    is_higher = np.repeat([True, False], [len(higher), len(lower)])
    return float(roc_auc_score(is_higher, np.concatenate([higher, lower])))


def refused(values: np.ndarray) -> dict[str, Any]:
    counts, _ = np.histogram(values, FAMILIARITY_BINS, (0, 1))
    return {"photos": len(values), "refused": float((values < FAMILIAR).mean()), "counts": counts.tolist()}
