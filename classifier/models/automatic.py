"""The precision that `auto` selects on a CPU: bfloat16 if the processor computes in it and the answers stay."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np

from classifier.contract import Resize
from classifier.errors import ClassifierError
from classifier.models import backend, folder, processor
from classifier.models.precision import rebuilt, resolve
from classifier.options import ModelOptions
from classifier.photos import decode

log = logging.getLogger(__name__)

LOW = "bfloat16"
LARGEST_CHANGE = 0.1  # of a probability; EfficientNet-Lite2's change by up to 0.03
PICTURES = Path(__file__).parents[2] / "static" / "examples"


def settled(network: keras.Model, options: ModelOptions, resize: Resize, is_random: bool = False) -> keras.Model:
    """Return the network, or the same in bfloat16 if `auto` left it in float32, and that is fast and keeps its answers.

    Both answer the examples of the model's folder, or the site's: bfloat16 must keep every first class and move no
    probability by more than LARGEST_CHANGE. Random weights have no answers to keep.
    """
    if options.precision != "auto" or resolve("auto") != "float32":
        return network
    if "BF16" not in (processor.features() or ()):
        log.info("auto selects float32, because this processor does not compute in bfloat16.")
        return network
    lowered = rebuilt(network.get_config(), network.get_weights(), LOW)
    if is_random:
        return lowered
    images = examples(Path(options.model), network.input_shape[1:3], resize)
    full, low = (np.asarray(backend.compiled(each)(images), np.float32) for each in (network, lowered))
    kept, change = (full.argmax(axis=1) == low.argmax(axis=1)).all(), float(np.abs(full - low).max())
    keeps = bool(kept and change <= LARGEST_CHANGE)
    log.info(
        "auto selects %s: bfloat16 %s the first class of %d examples, and its probabilities differ by at most %.3f.",
        *(LOW if keeps else "float32", "keeps" if kept else "changes", len(images), change),
    )
    return lowered if keeps else network


def examples(model: Path, size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Return the examples of a model folder, or the site's, each also mirrored, uint8 (n, h, w, 3)."""
    own = list(readable(model / folder.EXAMPLES, size, resize))
    images = np.stack(own or list(readable(PICTURES, size, resize)))
    return np.concatenate([images, images[:, :, ::-1]])


def readable(pictures: Path, size: tuple[int, int], resize: Resize) -> Iterator[np.ndarray]:
    """Yield what the model looks at of each picture in a folder; files that are no pictures are passed over."""
    for path in sorted(pictures.glob("*")):
        with suppress(OSError, ClassifierError):
            yield decode.read_pixels(path.read_bytes(), size, resize)
