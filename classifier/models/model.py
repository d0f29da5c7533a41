"""A name or a folder -> a compiled model: uint8 images in, probabilities out, its own preprocessing in the graph."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from classifier.models import backend, folder, labels, weights
from classifier.models.pretrained import Builder, find_builder, find_preprocessing, input_side
from classifier.errors import NotDownloaded, StartupError
from classifier.models.gradcam import GradCam
from classifier.photos.decode import Resize
from classifier.models.labels import Label, one_line
from classifier.models.precision import default_policy, has_float32_layers, rebuilt, resolve, with_softmax

log = logging.getLogger(__name__)

SEED = 0  # of CLASSIFIER_WEIGHTS=random
# VGG16 on 2 cores, ms an image: 155 alone, 142 by 4, 137 by 16, 135 by 32 (and 0.4 GB more).
LARGEST_RUN = {"CPU": 16, "GPU": 128}
DOWNLOAD_TIMEOUT_S = 10  # without a byte


class Model:
    """A model that answers: call it with uint8 (n, h, w, 3), get float32 probabilities (n, classes)."""

    def __init__(
        self,
        name: str,
        network: keras.Model,
        class_labels: list[Label],
        *,
        is_random: bool = False,
        resize: Resize | None = None,
        threshold: float = 0.0,
    ) -> None:
        self.name = name
        self.labels = class_labels
        self.is_random = is_random
        self.resize = resize  # how photos get to `size`; None: as one likes
        self.threshold = threshold  # under this top probability the answer is "not sure"
        self.size: tuple[int, int] = network.input_shape[1:3]  # (height, width)
        self.device = backend.device_name()
        self.precision: str = next((w.dtype for w in network.weights if len(w.shape) > 1), "float32")
        self.network = network
        self._run = backend.compiled(network)
        self._grad_cam: GradCam | None = None
        self._explaining = threading.Lock()  # so that this never takes more than one prediction's place
        self.largest_run = LARGEST_RUN[self.device[:3]]
        self._sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size <= self.largest_run]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the images in slices that are not too large."""
        step = self.largest_run
        return np.concatenate([self._run_slice(images[i : i + step]) for i in range(0, len(images), step)])

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Where a class was seen in one image, uint8 (h, w, 3): float32 (rows, columns), 0 to 1.

        Raises NotExplainable.
        """
        with self._explaining:
            self._grad_cam = self._grad_cam or GradCam(self.network)
            return self._grad_cam(image, index)

    def warm_up(self) -> None:
        """Answer once, at every batch size that needs compiling, so that no request has to wait for that."""
        for size in self._sizes if backend.compiles_each_shape() else self._sizes[:1]:
            self._run(np.zeros((size, *self.size, 3), np.uint8))

    def _run_slice(self, images: np.ndarray) -> np.ndarray:
        """Run at most a slice, padded to a size that is compiled where that matters."""
        count = len(images)
        if backend.compiles_each_shape():
            size = next(size for size in self._sizes if size >= count)
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        return self._run(images)[:count]


def load(
    name: str, weights_from: str = "imagenet", labels_path: Path | None = None, precision: str = "float32"
) -> Model:
    """Build, fill and warm up a keras.applications classifier.

    `name` is a module-style name (`vgg16`, `mobilenet_v2`, `efficientnet_b0`), `weights_from` is `imagenet`,
    `random` or the path of a weights file, `labels_path` a class-index file (None: Keras' ImageNet classes),
    `precision` what it computes in (see `classifier.models.precision`). Or `name` is the path of a model folder, which has
    its own weights and labels.

    Raises StartupError, in one line, when the name, the weights or the labels do not work out; NotDownloaded, which is
    one, when that is because of the network.
    """
    started = time.monotonic()
    backend.prepare()
    if is_folder(name):
        model = from_folder(Path(name), precision)
    else:
        model = from_applications(name, weights_from, labels_path, precision)
    model.warm_up()
    log.info("%s answers on %s in %s after %.1f s.", name, model.device, model.precision, time.monotonic() - started)
    return model


def is_folder(name: str) -> bool:
    """Whether a model's name is a path."""
    return os.sep in name or Path(name).is_dir()


def from_folder(path: Path, precision: str = "float32") -> Model:
    """The classifier of a model folder. Raises StartupError."""
    network, card = folder.read(path)
    if resolve(precision) != "float32":
        config, values = network.get_config(), network.get_weights()
        del network
        network = rebuilt(config, values, resolve(precision))
    class_labels = [Label("", name) for name in card.labels]
    return Model(path.resolve().name, network, class_labels, resize=card.resize, threshold=card.threshold)


def from_applications(name: str, weights_from: str, labels_path: Path | None, precision: str) -> Model:
    find_builder(name)  # a misspelt name is told before anything is fetched
    is_random = weights_from == "random"
    with quick_to_give_up():
        class_labels = find_labels(labels_path, optional=is_random)
        network = build(name, weights_from, len(class_labels), resolve(precision))
    return Model(name, network, class_labels, is_random=is_random)


def find_labels(path: Path | None, optional: bool = False) -> list[Label]:
    """The labels of a file, or ImageNet's; placeholders if those cannot be had and are `optional`."""
    if path is not None:
        return labels.read(path)
    try:
        return labels.imagenet()
    except StartupError as error:
        if not optional:
            raise
        log.warning("Classes have numbers for names: %s", error)
        return labels.placeholders()


def build(name: str, weights_from: str, classes: int, precision: str = "float32") -> keras.Model:
    """The whole network as one flat graph, uint8 (n, h, w, 3) -> float32 probabilities (n, classes)."""
    with weights.unset(), default_policy("float32" if weights_from == "imagenet" else precision):
        network = assemble(name, weights_from, classes)
    if precision != "float32" and (weights_from == "imagenet" or has_float32_layers(network)):
        config, values = network.get_config(), network.get_weights() if weights_from == "imagenet" else None
        del network
        network = rebuilt(config, values, precision)
    if weights_from == "random":
        weights.randomise(network, SEED)
    elif weights_from != "imagenet":
        weights.load(network, Path(weights_from))
    return with_softmax(network, network.name)


def assemble(name: str, weights_from: str, classes: int) -> keras.Model:
    """Bytes, the model's own preprocessing, its layers up to the logits; with weights only if they are `imagenet`."""
    builder = find_builder(name)
    side = input_side(name)
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    preprocessed = find_preprocessing(builder)(keras.ops.cast(images, "float32"))
    arguments = {"input_tensor": preprocessed, "classes": classes, "classifier_activation": None}
    if weights_from == "imagenet":
        return download(name, builder, arguments)
    return builder(weights=None, **arguments)


def download(name: str, builder: Builder, arguments: dict[str, object]) -> keras.Model:
    """Let Keras fetch (with its progress bar), check and cache the ImageNet weights."""
    if arguments["classes"] != 1000:
        raise StartupError(
            f"The weights of {name} cannot be used: expected 1000 labels for the ImageNet weights, "
            f"found {arguments['classes']}. {weights.WAYS_OUT}"
        )
    try:
        return builder(weights="imagenet", **arguments)
    except Exception as exc:  # Keras raises bare Exception for a failed download
        raise NotDownloaded(
            f"The weights of {name} cannot be had: expected them in ~/.keras/models or from the internet, "
            f"found neither ({one_line(exc)}). {weights.WAYS_OUT}"
        ) from exc


@contextmanager
def quick_to_give_up() -> Iterator[None]:
    """Keras downloads without a time limit; give up after DOWNLOAD_TIMEOUT_S of silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
