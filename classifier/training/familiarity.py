"""The features of the training photos, and the distance from them that photos of the classes stay within.

Strangers are made of the held-out photos themselves: cut into pieces and shuffled, a photo keeps its colours and
textures, but there is nothing in it any more. A network whose features cannot tell these apart knows colours and
textures only, and must not call a photo a stranger.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.covariance import ledoit_wolf

from classifier.dataset.reading import Dataset
from classifier.dataset.split import Parts, fitted_to
from classifier.evaluation.metrics import auroc
from classifier.models import backend
from classifier.models.familiarity import NEIGHBOUR, Known, TrainingPhotos, to_float16, unit
from classifier.models.network_features import extractor
from classifier.training.fit import Fitted

PASSED = 0.95  # of held-out photos: how many are within the threshold
PIECES = 8  # along each side
MAX_STRANGERS = 128
AT_ONCE = 64  # photos through the network, or compared, in one step
LEAST_SPREAD = 1e-4
LEAST_VARIANCE = 1e-8

Change = Callable[[np.ndarray], np.ndarray]


class Observed(NamedTuple):
    """The features (n, channels) of the photos at the indices `known`, and `own` (m, channels) of those `held_out`."""

    known: np.ndarray
    features: np.ndarray
    held_out: np.ndarray
    own: np.ndarray


def training_photos(fitted: Fitted, photos: Dataset, parts: Parts, from_scratch: bool) -> TrainingPhotos:
    """Return what the model folder keeps of the photos that a network was fitted to.

    The few and strongly correlated features of a network that was trained `from_scratch` are whitened (Mahalanobis
    distance).
    """
    run = fitted.extract or backend.compiled(extractor(fitted.network))
    seen = observed(run, fitted, photos, parts)
    stored, groups = to_float16(seen.features), photos.near_copies
    whitening = whitened(unit(stored)) if from_scratch else np.zeros((0, 0), np.float32)
    known, neighbour = Known(stored, whitening), min(NEIGHBOUR, len(stored))

    def distances(features: np.ndarray, indices: np.ndarray) -> np.ndarray:
        same = groups[indices, np.newaxis] == groups[seen.known]
        return distances_of(known, neighbour, features, same)

    own = distances(seen.own, seen.held_out)
    some = evenly(seen.held_out, MAX_STRANGERS)
    strangers = distances(through(run, photos, some, shuffled), some)
    return TrainingPhotos(
        features=stored,
        labels=photos.labels[seen.known],
        hashes=np.array([list(bytes.fromhex(photos.digests[i])) for i in seen.known], np.uint8),
        whitening=whitening,
        neighbour=neighbour,
        threshold=float(np.quantile(own, PASSED, method="higher")),
        spread=max(float(own.std()), LEAST_SPREAD),
        auroc=auroc(strangers, own),  # by distance
    )


def observed(run: Change, fitted: Fitted, photos: Dataset, parts: Parts) -> Observed:
    """Return the features of the known photos and of photos that are held out, by which to judge distances.

    If no photo has shaped the features, as those of a frozen backbone, every known photo is held out in turn;
    otherwise, the validation photos are.
    """
    if fitted.features is not None:
        both = fitted_to(parts)
        return Observed(both, fitted.features, both, fitted.features)
    train, validation = parts["train"], parts["validation"]
    return Observed(train, through(run, photos, train), validation, through(run, photos, validation))


def distances_of(known: Known, neighbour: int, features: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Return the distances (m,) of photos with these features (m, channels), of which some are the `same`, (m, n)."""
    steps = range(0, len(features), AT_ONCE)
    found = [known.nearest(features[i : i + AT_ONCE], neighbour, same[i : i + AT_ONCE])[1] for i in steps]
    return np.concatenate(found)[:, -1]


def whitened(directions: np.ndarray) -> np.ndarray:
    """Return the matrix, float32 (channels, channels), that makes directions (n, channels) uncorrelated.

    Their covariance is shrunk as Ledoit and Wolf (2004) do, so that few photos suffice.
    """
    variances, axes = np.linalg.eigh(ledoit_wolf(directions.astype(float))[0])
    return np.asarray(axes / np.sqrt(variances.clip(LEAST_VARIANCE)), np.float32)


def through(run: Change, photos: Dataset, indices: np.ndarray, change: Change = lambda pixels: pixels) -> np.ndarray:
    """Return what a network gives for some photos, with their pixels changed: float32 (len(indices), channels)."""
    steps = range(0, len(indices), AT_ONCE)
    return np.concatenate([run(change(photos.take(indices[i : i + AT_ONCE]))) for i in steps])


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the indices, spread evenly over all."""
    places = np.linspace(0, len(indices) - 1, min(len(indices), most))
    return np.asarray(indices[places.round().astype(int)])


def shuffled(pixels: np.ndarray) -> np.ndarray:
    """Return photos, uint8 (n, h, w, 3), cut into PIECES x PIECES rectangles in another order, the same for all.

    What does not divide evenly stays at the right and lower edge.
    """
    n, height, width = pixels.shape[:3]
    h, w = height // PIECES, width // PIECES
    changed = pixels.copy()
    pieces = pixels[:, : PIECES * h, : PIECES * w].reshape(n, PIECES, h, PIECES, w, 3).swapaxes(2, 3)
    order = np.random.default_rng(0).permutation(PIECES**2)
    mixed = pieces.reshape(n, PIECES**2, h, w, 3)[:, order].reshape(n, PIECES, PIECES, h, w, 3)
    changed[:, : PIECES * h, : PIECES * w] = mixed.swapaxes(2, 3).reshape(n, PIECES * h, PIECES * w, 3)
    return changed
