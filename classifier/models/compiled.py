"""A compiled folder -> a warm model that needs neither TensorFlow nor Keras."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from classifier.contract import ModelInfo, Resemblance
from classifier.errors import StartupError
from classifier.models import familiarity, folder, labels, openvino_runtime
from classifier.models.familiarity import Comparison, TrainingPhotos
from classifier.models.folder import Compilation, CompiledPrecision, ModelCard
from classifier.options import Device, ModelOptions
from classifier.text import printable

log = logging.getLogger(__name__)

HeatMaps = Callable[[np.ndarray, int], np.ndarray]  # (image, index) -> heat

LARGEST_RUN = 8  # VGG16 in int8 takes 41, 36 and 35 ms a photo in batches of 1, 8 and 16, and 16 take 0.1 GB more


class CompiledModel:
    """A network on OpenVINO: call it with uint8 (n, h, w, 3) to get float32 probabilities (n, classes).

    With a `comparison`, the network's second output is the features that it compares, float32 (n, channels). Any number
    of threads may call it; one batch runs at a time. `heat_maps` is called when the first one is asked for.
    """

    largest_run = LARGEST_RUN

    def __init__(
        self,
        network: Any,
        info: ModelInfo,
        heat_maps: Callable[[], HeatMaps],
        comparison: Comparison | None = None,
    ) -> None:
        self.info = info
        self._comparison = comparison
        self._request = network.create_infer_request()
        self._running = threading.Lock()
        self._make_heat_maps = heat_maps
        self._heat_maps: HeatMaps | None = None
        self._explaining = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._outputs(images)[0]

    def compare(self, images: np.ndarray) -> tuple[np.ndarray, list[Resemblance]]:
        """Return the probabilities, and how each image resembles the training photos. Needs a `comparison`."""
        assert self._comparison is not None
        probabilities, features = self._outputs(images)
        return probabilities, self._comparison(features)

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return a heat map of a class in one image, uint8 (h, w, 3): float32 (rows, columns) from 0 to 1.

        The first one compiles the network once more, which takes memory for its weights. Raises NotExplainable.
        """
        with self._explaining:
            self._heat_maps = self._heat_maps or self._make_heat_maps()
            return self._heat_maps(image, index)

    def warm_up(self) -> None:
        """Run once, as the first run arranges the weights for the processor."""
        self._run(np.zeros((1, *self.info.size, 3), np.uint8))

    def _outputs(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the images in slices of at most `largest_run`."""
        step = self.largest_run
        runs = [self._run(images[i : i + step]) for i in range(0, len(images), step)]
        return [np.concatenate(slices) for slices in zip(*runs, strict=True)]

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        with self._running:
            return list(self._request.infer([np.ascontiguousarray(images)], share_inputs=True).to_tuple())


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
    model = read(Path(options.model), may_judge=bool(options.familiarity))
    log.info("%s answers on CPU in %s after %.1f s.", options.model, model.info.precision, time.monotonic() - started)
    return model


def check(path: Path, device: Device) -> None:
    """Check what can be checked of a compiled folder without loading it. Raises StartupError."""
    if device == "gpu":
        raise StartupError("CLASSIFIER_DEVICE=gpu is not possible here: a compiled model answers on the CPU.")
    card, _ = read_card(path)
    folder.check_digest(path, card)


def read(path: Path, may_judge: bool = True) -> CompiledModel:
    """Return the model of a compiled folder, warm, which judges familiarity if it can and `may_judge`.

    Raises StartupError.
    """
    card, compilation = read_card(path)
    photos = familiarity.read(path, len(card.labels))
    try:
        network = read_network(path, card, photos)
        run = openvino_runtime.compiled(network, compilation.precision)
    except RuntimeError as exc:
        raise folder.unusable(path, f"OpenVINO cannot read {folder.GRAPH} ({last_line(exc)})") from exc
    constants = path / folder.CONSTANTS
    explain = partial(heat_maps, network, compilation.precision, constants)
    comparison = Comparison(photos, card.labels, familiarity.thumbnails(path)) if photos else None
    judges = bool(photos and photos.separates and may_judge)
    info = replace(info_of(card, compilation, run), compares=comparison is not None, judges=judges)
    model = CompiledModel(run, info, explain, comparison)
    model.warm_up()
    openvino_runtime.let_go_of(constants)
    return model


def read_card(path: Path) -> tuple[ModelCard, Compilation]:
    """Read the card of a compiled folder. Raises StartupError."""
    card = folder.read_card(path)
    if card.compiled is None:
        raise folder.unusable(path, f"its {folder.CARD} was written for another kind of network")
    return card, card.compiled


def read_network(path: Path, card: ModelCard, photos: TrainingPhotos | None) -> Any:
    """Read a folder's network, whose second output is the features, if there are `photos` to compare with.

    Raises StartupError unless it fits the card and the photos, and RuntimeError if it cannot be read.
    """
    network = openvino_runtime.read(path / folder.GRAPH)
    (height, width), classes = card.size, len(card.labels)
    expected = [f"u8[?,{height},{width},3]", f"f32[?,{classes}]"]
    if photos:
        expected.append(f"f32[?,{photos.features.shape[1]}]")
    ports = [network.input(0), *network.outputs[: len(expected) - 1]]
    found = [openvino_runtime.shape_of(port) for port in ports]
    if found != expected:
        reason = f"{folder.CARD} expects {' -> '.join(expected)}, and the network is {' -> '.join(found)}"
        raise folder.unusable(path, reason)
    return network


def heat_maps(network: Any, precision: CompiledPrecision, constants: Path) -> HeatMaps:
    """Return a function that makes heat maps of a network, which has run once. Raises NotExplainable.

    It is the network that answers, read from the file `constants`, for which another one may have been put since.
    """
    from classifier.models.occlusion import Occlusion

    made = Occlusion(openvino_runtime.with_first_output(network), partial(runner, precision=precision))
    made(np.zeros(network.input(0).get_partial_shape().get_max_shape()[1:], np.uint8), 0)
    openvino_runtime.let_go_of(constants)
    return made


def runner(network: Any, precision: CompiledPrecision) -> Callable[[np.ndarray], np.ndarray]:
    """Compile a network for this CPU into a function of one array."""
    request = openvino_runtime.compiled(network, precision).create_infer_request()
    return lambda images: np.asarray(request.infer([images])[0])


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
