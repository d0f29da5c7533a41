"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599): probabilities that match the share of right answers."""

import keras
import numpy as np

TEMPERATURES = np.geomspace(1 / 8, 8, 241)  # to try


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return what to divide logits (n, classes) by, from the logits of photos that the network was not fitted to.

    The targets are smoothed as in Platt scaling: however many answers are right, the next one may be wrong.
    """
    losses = [loss(logits / candidate, labels) for candidate in TEMPERATURES]
    return float(TEMPERATURES[np.argmin(losses)])


def loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the cross entropy with the labels, int (n,), each counting as n + 1 of n + 2 answers."""
    log_probabilities = np.log(softmax(logits).clip(np.finfo(float).tiny))
    smoothing = 1 / (len(labels) + 2)
    right = log_probabilities[np.arange(len(labels)), labels]
    return float(-np.mean((1 - smoothing) * right + smoothing * log_probabilities.mean(axis=1)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, classes) of logits."""
    powers = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def scaled(network: keras.Model, divisor: float) -> keras.Model:
    """Append the division of a network's logits by a temperature."""
    return keras.Model(network.input, keras.layers.Rescaling(1 / divisor, name="temperature")(network.output))
