"""A compiled folder -> a warm model that needs neither TensorFlow nor Keras."""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.contract import ModelInfo
from classifier.errors import NotExplainable, StartupError
from classifier.models import folder, labels, openvino_runtime
from classifier.models.folder import Compilation, ModelCard
from classifier.options import Device, ModelOptions
from classifier.text import printable

log = logging.getLogger(__name__)

LARGEST_RUN = 8  # VGG16 in int8 takes 41, 36 and 35 ms a photo in batches of 1, 8 and 16, and 16 take 0.1 GB more


class CompiledModel:
    """A network on OpenVINO: call it with uint8 (n, h, w, 3) to get float32 probabilities (n, classes).

    Any number of threads may call it; one batch runs at a time.
    """

    largest_run = LARGEST_RUN

    def __init__(self, network: Any, info: ModelInfo) -> None:
        self.info = info
        self._request = network.create_infer_request()
        self._running = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the images in slices of at most `largest_run`."""
        step = self.largest_run
        return np.concatenate([self._run(images[i : i + step]) for i in range(0, len(images), step)])

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Raise NotExplainable."""
        raise NotExplainable("A compiled model cannot show where it looked; the model it was compiled from can.")

    def warm_up(self) -> None:
        """Run once, as the first run arranges the weights for the processor."""
        self._run(np.zeros((1, *self.info.size, 3), np.uint8))

    def _run(self, images: np.ndarray) -> np.ndarray:
        with self._running:
            return np.asarray(self._request.infer([np.ascontiguousarray(images)], share_inputs=True)[0])


def write(path: Path, network: Any, card: ModelCard, compilation: Compilation) -> None:
    """Write OpenVINO's network, uint8 (n, h, w, 3) -> float32 probabilities (n, classes), into an existing folder."""
    openvino_runtime.saved(network, path / folder.GRAPH, compilation.precision)
    write_card(path, card, compilation)


def write_card(path: Path, card: ModelCard, compilation: Compilation) -> None:
    """Write the card of the network that a compiled folder holds."""
    version = str(openvino_runtime.imported().__version__)
    folder.write_card(path, replace(card, compiled=compilation), {"openvino": version})


def load(options: ModelOptions) -> CompiledModel:
    """Return the model of a compiled folder, whose labels, resize and precision replace the options'.

    Raises StartupError.
    """
    started = time.monotonic()
    check(Path(options.model), options.device)
    model = read(Path(options.model))
    log.info("%s answers on CPU in %s after %.1f s.", options.model, model.info.precision, time.monotonic() - started)
    return model


def check(path: Path, device: Device) -> None:
    """Check what can be checked of a compiled folder without loading it. Raises StartupError."""
    if device == "gpu":
        raise StartupError("CLASSIFIER_DEVICE=gpu is not possible here: a compiled model answers on the CPU.")
    card, _ = read_card(path)
    folder.check_digest(path, card)


def read(path: Path) -> CompiledModel:
    """Return the model of a compiled folder, warm. Raises StartupError."""
    card, compilation = read_card(path)
    network = read_network(path, card, compilation)
    model = CompiledModel(network, info_of(card, compilation, network))
    model.warm_up()
    openvino_runtime.let_go_of(path / folder.CONSTANTS)
    return model


def read_card(path: Path) -> tuple[ModelCard, Compilation]:
    """Read the card of a compiled folder. Raises StartupError."""
    card = folder.read_card(path)
    if card.compiled is None:
        raise folder.unusable(path, f"its {folder.CARD} was written for another kind of network")
    return card, card.compiled


def read_network(path: Path, card: ModelCard, compilation: Compilation) -> Any:
    """Compile a folder's network for this CPU. Raises StartupError unless it fits the card."""
    try:
        network = openvino_runtime.compiled(path / folder.GRAPH, compilation.precision)
    except RuntimeError as exc:
        raise folder.unusable(path, f"OpenVINO cannot read {folder.GRAPH} ({last_line(exc)})") from exc
    (height, width), classes = card.size, len(card.labels)
    expected = [f"u8[?,{height},{width},3]", f"f32[?,{classes}]"]
    found = [openvino_runtime.shape_of(port) for port in (network.input(0), network.output(0))]
    if found != expected:
        reason = f"{folder.CARD} expects {' -> '.join(expected)}, and the network is {' -> '.join(found)}"
        raise folder.unusable(path, reason)
    return network


def last_line(error: RuntimeError) -> str:
    """Return what is wrong: OpenVINO's messages begin with the lines of its source that they passed through."""
    return printable(str(error).strip().splitlines()[-1])[:200]


def info_of(card: ModelCard, compilation: Compilation, network: Any) -> ModelInfo:
    return ModelInfo(
        name=compilation.source,
        labels=card.class_labels,
        size=card.size,
        resize=card.resize,
        device="CPU",
        precision=openvino_runtime.computed_in(network, compilation.precision),
        is_random=compilation.weights == "random",
        threshold=card.threshold,
        terms=folder.terms_of(card) if card.groups else labels.imagenet_terms(card.class_labels),
    )
