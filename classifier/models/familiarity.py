"""How a photo resembles the training photos, by the features that a network gives for both. Pure NumPy.

Features are compared as directions, by the Euclidean distance of vectors of length 1. `features.npz` in the model
folder holds those of the training photos, and the distance that photos of the classes stay within.
"""

from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from classifier.contract import Resemblance, SimilarPhoto
from classifier.errors import StartupError
from classifier.text import one_line

FEATURES, THUMBNAILS = "features.npz", "thumbnails"
NEIGHBOUR = 5  # the distance of a photo is that to its so many-th nearest training photo
SIMILAR = 5  # training photos that are shown beside an answer
LEAST_AUROC = 0.8  # with which strangers must be told apart for familiarity to be judged
LARGEST = float(np.finfo(np.float16).max)
TINY = float(np.finfo(np.float32).tiny)
# OpenBLAS multiplies a vector by so many rows in the calling thread. Larger products it shares with threads that then
# spin for 20 ms and more, on the cores that the model needs; that pays for more photos than FEW, as in training.
ROWS, FEW = 128, 16
FARTHEST = 1e12  # squared; no distance is as large


@dataclass(frozen=True)
class TrainingPhotos:
    """The content of `features.npz`: the training photos as the network sees them, and what is far from them.

    `features` is float16 (n, channels), `labels` int (n,), and `hashes` uint8 (n, 32), the SHA-256 of each file.
    `whitening`, float32 (channels, channels), is what directions are multiplied by before they are compared; if it is
    empty, they are compared as they are. The distance of a photo is that to its `neighbour`-th nearest. 95% of held-out
    photos stay within `threshold`, `spread` is the standard deviation of theirs, and `auroc` the area under the ROC
    curve with which it separates strangers.
    """

    features: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    whitening: np.ndarray
    neighbour: int
    threshold: float
    spread: float
    auroc: float

    @property
    def separates(self) -> bool:
        """Return True if strangers are separated well enough to call a photo one."""
        return self.auroc >= LEAST_AUROC

    def familiarity(self, distances: np.ndarray) -> np.ndarray:
        """Return the familiarity of photos at these distances, of any shape: a logistic curve from 1 to 0.

        It is 0.5 at the threshold, and 0.27 or 0.73 one `spread` farther or nearer.
        """
        return np.asarray(1 / (1 + np.exp(((distances - self.threshold) / self.spread).clip(-500, 500))))


class Known:
    """Features (m, channels) to compare others with, multiplied by a `whitening` unless it is empty."""

    def __init__(self, features: np.ndarray, whitening: np.ndarray) -> None:
        self._whitening = whitening
        self._points = self._placed(features)
        self._squares = np.square(self._points).sum(axis=1)

    def nearest(
        self, features: np.ndarray, count: int, passed_over: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the `count` nearest to each row of features and their distances, the nearest first.

        Both are (n, count) for features (n, channels). Pairs in `passed_over`, bool (n, m), come last.
        """
        points = self._placed(features)
        squares = np.square(points).sum(axis=1, keepdims=True) + self._squares - 2 * self._products(points)
        if passed_over is not None:
            squares[passed_over] = FARTHEST
        indices = np.argpartition(squares, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(squares, indices, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        distances = np.sqrt(np.take_along_axis(found, order, axis=1).clip(0))
        return np.take_along_axis(indices, order, axis=1), distances

    def _products(self, points: np.ndarray) -> np.ndarray:
        """Return the inner products (n, m) with points (n, channels)."""
        if len(points) > FEW:
            return np.asarray(points @ self._points.T)
        blocks = [self._points[i : i + ROWS] for i in range(0, len(self._points), ROWS)]
        return np.stack([np.concatenate([block @ point for block in blocks]) for point in points])

    def _placed(self, features: np.ndarray) -> np.ndarray:
        """Return the points that features are compared as, float32 of the same shape."""
        return unit(features) @ self._whitening if self._whitening.size else unit(features)


class Comparison:
    """Compares photos with the training photos of a model that knows `classes`; `thumbnails` are the names at hand."""

    def __init__(self, photos: TrainingPhotos, classes: Sequence[str], thumbnails: Container[str] = ()) -> None:
        self._photos = photos
        self._labels = [classes[label] for label in photos.labels]
        self._names = [name if (name := thumbnail_name(row)) in thumbnails else "" for row in photos.hashes]
        self._known = Known(photos.features, photos.whitening)

    def __call__(self, features: np.ndarray) -> list[Resemblance]:
        """Return how each photo with these features, float (n, channels), resembles the training photos."""
        count = min(max(self._photos.neighbour, SIMILAR), len(self._labels))
        indices, distances = self._known.nearest(features, count)
        rows = zip(indices.tolist(), self._photos.familiarity(distances).tolist(), strict=True)
        return [self._resemblance(*row) for row in rows]

    def _resemblance(self, indices: list[int], similarities: list[float]) -> Resemblance:
        """Return how a photo resembles the training photos at these indices, the nearest first."""
        shown = list(zip(indices, similarities, strict=True))[:SIMILAR]
        similar = (SimilarPhoto(self._labels[i], similarity, self._names[i]) for i, similarity in shown)
        return Resemblance(similarities[self._photos.neighbour - 1], tuple(similar))


def unit(features: np.ndarray) -> np.ndarray:
    """Return features (n, channels) as float32 vectors of length 1; one of zeros stays as it is."""
    values = features.astype(np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True).clip(TINY))


def thumbnail_name(hash: np.ndarray) -> str:
    """Return the name of a photo's thumbnail, from the SHA-256 of its file, uint8 (32,), which it does not reveal."""
    return f"{hash.tobytes().hex()[:16]}.jpg"


def to_float16(features: np.ndarray) -> np.ndarray:
    """Return features as they are stored."""
    return features.clip(-LARGEST, LARGEST).astype(np.float16)


def write(folder: Path, photos: TrainingPhotos) -> None:
    np.savez_compressed(folder / FEATURES, allow_pickle=False, **asdict(photos))


def read(folder: Path, classes: int) -> TrainingPhotos | None:
    """Return the training photos of a model folder with so many classes, or None if it holds none.

    Raises StartupError for a damaged file.
    """
    path = folder / FEATURES
    if not path.is_file():
        return None
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            photos = TrainingPhotos(
                features=file["features"],
                labels=file["labels"],
                hashes=file["hashes"],
                whitening=file["whitening"],
                neighbour=int(file["neighbour"]),
                threshold=float(file["threshold"]),
                spread=float(file["spread"]),
                auroc=float(file["auroc"]),
            )
        check(photos, classes)
    except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile) as exc:
        raise StartupError(
            f"The model folder {folder} cannot be used: its {FEATURES} is damaged ({one_line(exc)}); please train the "
            f"model again, or remove that file to do without familiarity and similar photos."
        ) from exc
    return photos


def check(photos: TrainingPhotos, classes: int) -> None:
    """Raise ValueError unless the arrays fit each other and the numbers can be used."""
    n = len(photos.features)
    if photos.features.ndim != 2 or photos.labels.shape != (n,) or photos.hashes.shape != (n, 32):
        raise ValueError("expected features, labels and hashes of as many photos")
    if photos.whitening.shape not in ((0, 0), photos.features.shape[1:] * 2):
        raise ValueError("expected a whitening as large as the features, or none")
    if not 1 <= photos.neighbour <= n:
        raise ValueError(f"expected the neighbour to be from 1 to {n}, found {photos.neighbour}")
    if not (photos.labels.dtype.kind in "iu" and photos.labels.min() >= 0 and photos.labels.max() < classes):
        raise ValueError(f"expected labels from 0 to {classes - 1}")
    numbers = (photos.features, photos.whitening, photos.threshold, photos.spread, photos.auroc)
    if not (all(np.isfinite(number).all() for number in numbers) and photos.spread > 0):
        raise ValueError("expected finite numbers, and a spread above 0")


def thumbnails(folder: Path) -> frozenset[str]:
    """Return the names of a model folder's thumbnails."""
    place = folder / THUMBNAILS
    return frozenset(path.name for path in place.iterdir()) if place.is_dir() else frozenset()
