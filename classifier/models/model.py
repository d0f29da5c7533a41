"""A model that answers: uint8 images in, probabilities out, with its own preprocessing in the graph."""

import threading

import keras
import numpy as np

from classifier.contract import Label, ModelInfo, Resemblance, Resize
from classifier.models import backend
from classifier.models.familiarity import Comparison
from classifier.models.gradcam import GradCam
from classifier.models.network_features import with_features
from classifier.terms import NO_TERMS, Terms

# VGG16 on 2 cores, ms per image in batches of 1, 4, 16 and 32: 155, 142, 137, 135 (and 0.4 GB more).
LARGEST_RUN = {"CPU": 16, "GPU": 128}
USUAL_RUN = 8  # photos at once: TensorFlow keeps the memory that these take, so a process has it from the start
# On a GPU, one batch computes while the next one's pixels travel: VGG16 in bfloat16, in batches of 128 on an H200, goes
# from 8,371 to 15,844 photos a second. More would only take memory.
RUNS_AT_ONCE = {"CPU": 1, "GPU": 2}


class Model:
    """A compiled network: call it with uint8 (n, h, w, 3) to get float32 probabilities (n, classes).

    With a `comparison`, the same run also gives the features that it compares; `judges` is part of the model's info.
    Any number of threads may call it; the device runs as many batches at a time as it runs best.
    """

    def __init__(
        self,
        name: str,
        network: keras.Model,
        labels: list[Label],
        *,
        resize: Resize,
        is_random: bool = False,
        threshold: float = 0.0,
        terms: Terms = NO_TERMS,
        comparison: Comparison | None = None,
        judges: bool = False,
    ) -> None:
        self.info = ModelInfo(
            name=name,
            labels=labels,
            size=network.input_shape[1:3],
            resize=resize,
            device=backend.device_name(),
            precision=next((w.dtype for w in network.weights if len(w.shape) > 1), "float32"),
            is_random=is_random,
            threshold=threshold,
            terms=terms,
            compares=comparison is not None,
            judges=judges,
        )
        self.network = network
        self._comparison = comparison
        self._run = backend.compiled(with_features(network) if comparison else network)
        self._grad_cam: GradCam | None = None
        self._explaining = (
            threading.Lock()
        )  # one at a time, so that explanations never take the place of more than one prediction
        device = self.info.device[:3]
        self.largest_run = LARGEST_RUN[device]
        self._places = threading.Semaphore(RUNS_AT_ONCE[device])
        self._sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size <= self.largest_run]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._outputs(images)[:, : len(self.info.labels)]

    def compare(self, images: np.ndarray) -> tuple[np.ndarray, list[Resemblance]]:
        """Return the probabilities, and how each image resembles the training photos. Needs a `comparison`."""
        assert self._comparison is not None
        probabilities, features = np.split(self._outputs(images), [len(self.info.labels)], axis=1)
        return probabilities, self._comparison(features)

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return a heat map of a class in one image, uint8 (h, w, 3): float32 (rows, columns) from 0 to 1.

        Raises NotExplainable.
        """
        with self._explaining:
            self._grad_cam = self._grad_cam or GradCam(self.network)
            return self._grad_cam(image, index)

    def warm_up(self) -> None:
        """Run at every batch size that needs compiling, or memory, so that no request has to wait for it."""
        for size in self._sizes if backend.compiles_each_shape() else (1, USUAL_RUN):
            self._run(np.zeros((size, *self.info.size, 3), np.uint8))

    def _outputs(self, images: np.ndarray) -> np.ndarray:
        """Run the images in slices of at most `largest_run`."""
        step = self.largest_run
        return np.concatenate([self._run_slice(images[i : i + step]) for i in range(0, len(images), step)])

    def _run_slice(self, images: np.ndarray) -> np.ndarray:
        """Run one slice, padded to a compiled batch size if the backend compiles each size."""
        count = len(images)
        if backend.compiles_each_shape():
            size = next(size for size in self._sizes if size >= count)
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        with self._places:
            return self._run(images)[:count]
