"""A name -> a compiled model: uint8 images in, probabilities out, its own preprocessing in the graph."""

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import keras
import numpy as np

from classifier import backend, labels, weights
from classifier.errors import StartupError
from classifier.labels import Label, one_line

Builder = Callable[..., keras.Model]

log = logging.getLogger(__name__)

SEED = 0  # of CLASSIFIER_WEIGHTS=random
BATCH_SIZES = (8, 1)  # VGG16 on 2 cores: 140 ms an image at 8, 155 at 1; larger ones only cost memory
DOWNLOAD_TIMEOUT_S = 10  # without a byte

# Height and width of those that do not take 224 x 224 (https://keras.io/api/applications/).
INPUT_SIDES = {
    "xception": 299,
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "nasnetlarge": 331,
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
}


class Model:
    """A model that answers: call it with uint8 (n, h, w, 3), get float32 probabilities (n, classes)."""

    def __init__(self, name: str, network: keras.Model, class_labels: list[Label], is_random: bool) -> None:
        self.name = name
        self.labels = class_labels
        self.is_random = is_random
        self.size: tuple[int, int] = network.input_shape[1:3]  # (height, width)
        self.device = backend.device_name()
        self._run = backend.compiled(network)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the batch in slices of BATCH_SIZES, so that nothing is compiled at a request."""
        parts, start = [], 0
        while start < len(images):
            size = next(size for size in BATCH_SIZES if size <= len(images) - start)
            parts.append(self._run(images[start : start + size]))
            start += size
        return np.concatenate(parts)

    def warm_up(self) -> None:
        """Answer once at every batch size."""
        for size in BATCH_SIZES:
            self(np.zeros((size, *self.size, 3), np.uint8))


def load(name: str, weights_from: str = "imagenet", labels_path: Path | None = None) -> Model:
    """Build, fill and warm up a keras.applications classifier.

    `name` is a module-style name (`vgg16`, `mobilenet_v2`, `efficientnet_b0`), `weights_from` is `imagenet`,
    `random` or the path of a weights file, `labels_path` a class-index file (None: Keras' ImageNet classes).

    Raises StartupError, in one line, when the name, the weights or the labels do not work out.
    """
    started = time.monotonic()
    backend.prepare()
    find_builder(name)  # a misspelt name is told before anything is fetched
    is_random = weights_from == "random"
    with quick_to_give_up():
        class_labels = find_labels(labels_path, optional=is_random)
        network = build(name, weights_from, len(class_labels))
    model = Model(name, network, class_labels, is_random)
    model.warm_up()
    log.info("%s answers on %s after %.1f s.", name, model.device, time.monotonic() - started)
    return model


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


def build(name: str, weights_from: str, classes: int) -> keras.Model:
    """The whole network as one flat graph, uint8 (n, h, w, 3) -> probabilities (n, classes)."""
    builder = find_builder(name)
    side = INPUT_SIDES.get(plain(name), 224)
    images = keras.Input((side, side, 3), dtype="uint8", name="images")
    preprocess = sys.modules[builder.__module__].preprocess_input  # each model's own lives beside its builder
    arguments = {"input_tensor": preprocess(keras.ops.cast(images, "float32")), "classes": classes}
    if weights_from == "imagenet":
        return download(name, builder, arguments)
    keras.utils.set_random_seed(SEED)
    network = builder(weights=None, **arguments)
    if weights_from != "random":
        weights.load(network, Path(weights_from))
    return network


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
        raise StartupError(
            f"The weights of {name} cannot be had: expected them in ~/.keras/models or from the internet, "
            f"found neither ({one_line(exc)}). {weights.WAYS_OUT}"
        ) from exc


def find_builder(name: str) -> Builder:
    """The keras.applications function for `name`; underscores and case do not matter.

    Raises StartupError that lists close matches.
    """
    builders: dict[str, Builder] = {
        plain(key): value for key, value in vars(keras.applications).items() if callable(value)
    }
    if plain(name) in builders:
        return builders[plain(name)]
    close = get_close_matches(plain(name), builders, cutoff=0.5) or ["vgg16", "mobilenetv2", "resnet50"]
    raise StartupError(
        f"The model {name!r} cannot be used: expected CLASSIFIER_MODEL to name a keras.applications classifier "
        f"such as {', '.join(close)}, found no such name."
    )


def plain(name: str) -> str:
    return name.replace("_", "").lower()


@contextmanager
def quick_to_give_up() -> Iterator[None]:
    """Keras downloads without a time limit; give up after DOWNLOAD_TIMEOUT_S of silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
