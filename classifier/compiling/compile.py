"""The whole run, step by step: load, export, quantise, write, compare."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.compiling import export, sample
from classifier.compiling.comparison import BATCH, Accuracy, Agreement, Comparison, Pair, check, times
from classifier.compiling.quantising import quantised
from classifier.compiling.sample import Sample
from classifier.contract import Label, ModelInfo, ServedModel
from classifier.dataset import reading
from classifier.dataset.reading import Dataset
from classifier.errors import DataError, StartupError, Unproven
from classifier.models import compiled, compiled_trial, familiarity, folder, load, openvino_runtime, processor
from classifier.models.compiled_trial import footprint
from classifier.models.folder import Compilation, CompiledPrecision, ModelCard
from classifier.options import ModelOptions

log = logging.getLogger(__name__)

KEPT = (
    folder.SPLIT,
    folder.EXAMPLES,
    familiarity.FEATURES,
    familiarity.THUMBNAILS,
)  # what a compiled folder takes over from the model's own


@dataclass(frozen=True)
class Photos:
    """Where photos are: some to calibrate with and compare on, and some in a folder per class to measure accuracy."""

    unlabelled: Path | None = None
    labelled: Path | None = None


class Labelled(NamedTuple):
    """Photos with the label of each, int (n,)."""

    photos: Dataset
    labels: np.ndarray


@dataclass(frozen=True)
class Source:
    """The model to compile, in float32, with its folder if it has one, its card, and the parts of its photos."""

    model: ServedModel
    network: Callable[[], Any]  # which returns OpenVINO's
    path: Path | None
    card: ModelCard
    parts: dict[str, str]  # by digest
    memory: float | None  # MB


def compile_model(
    options: ModelOptions,
    output: Path,
    photos: Photos,
    precision: CompiledPrecision | None = None,
    force: bool = False,
    features: set[str] | None = None,
) -> Comparison:
    """Write a compiled folder of a model and return how it compares with the model in float32.

    `precision` is by default the fastest that the processor runs natively, which `features` describe. Raises
    StartupError; DataError for photos that cannot be used, and for a compiled model that answers too differently,
    unless `force` is given.
    """
    has = features if features is not None else processor.features() or set()
    chosen = precision or fastest(has)
    log_reservation(chosen, has)
    source = read_source(options)
    taken = take_sample(source, photos, chosen)
    test = read_labelled(photos.labelled, source, taken.digests) if photos.labelled else None
    network = source.network()
    if chosen == "int8":
        network = quantised(network, taken.calibration, "VNNI" in has)
    compilation = Compilation(precision=chosen, source=source.model.info.name, weights=weights_name(source, options))
    with folder.replaced(output) as part:
        compiled.write(part, network, source.card, compilation)
        take_over(source.path, part)
        comparison = compare(source, part, taken.compared, test)
        if not force:
            check(comparison, chosen)
        compiled.write_card(part, source.card, replace(compilation, comparison=comparison.as_dict()))
    return comparison


def read_source(options: ModelOptions) -> Source:
    """Load the model to compile. Raises StartupError."""
    path = Path(options.model) if folder.is_folder(options.model) else None
    if path and folder.is_compiled(path):
        return read_compiled_source(path)
    export.use_tensorflow()
    model: Any = load(options)
    card = folder.read_card(path) if path else card_of(model.info)
    parts = folder.read_split(path) if path else {}
    network = partial(export.exported, model.network, with_features=model.info.compares)
    return Source(model, network, path, card, parts, footprint(model))


def read_compiled_source(path: Path) -> Source:
    """Load a compiled folder in float32, such as an imported ONNX model, to compile it again. Raises StartupError."""
    card, compilation = compiled.read_card(path)
    if compilation.precision != "float32":
        raise StartupError(
            f"{path} is compiled in {compilation.precision} already; please name the model that it was compiled from."
        )
    model = compiled.read(path)
    network = partial(openvino_runtime.read, path / folder.GRAPH)
    return Source(model, network, path, card, folder.read_split(path), footprint(model))


def take_sample(source: Source, photos: Photos, precision: CompiledPrecision) -> Sample:
    """Choose photos for calibration and comparison: those that were named, or those the model was trained on.

    Raises DataError if there are none, or too few.
    """
    chosen = photos.unlabelled or own_photos(source) or photos.labelled
    if chosen is None:
        purpose = "to calibrate with and to compare on" if precision == "int8" else "to compare on"
        raise DataError(
            f"{precision} needs photos {purpose}; please name a folder of photos like those that the site will see: "
            "--photos DIR."
        )
    return sample.take(chosen, source.model.info, precision == "int8", source.parts)


def fastest(features: set[str]) -> CompiledPrecision:
    """Return the fastest precision that a processor runs natively."""
    if "VNNI" in features:
        return "int8"
    return "bfloat16" if features & {"BF16", "AMX"} else "float32"


def log_reservation(precision: CompiledPrecision, features: set[str]) -> None:
    """Log what a processor lacks for a precision, and what follows from that."""
    if precision == "int8" and "VNNI" not in features:
        log.warning(
            "This processor has no VNNI, so sums of 8-bit products would overflow: the weights get 7 bits, and int8 is "
            "hardly faster than float32 here."
        )
    if precision == "bfloat16" and not features & {"BF16", "AMX"}:
        log.warning(
            "This processor has neither AVX-512 BF16 nor AMX, so it computes the folder in float32; only another one "
            "would be faster."
        )


def card_of(info: ModelInfo) -> ModelCard:
    """Return the card of a model that has no folder."""
    names, wnids = [label.name for label in info.labels], [label.wnid for label in info.labels]
    return ModelCard(labels=names, wnids=wnids, size=info.size, resize=info.resize)


def own_photos(source: Source) -> Path | None:
    """Return the folder of photos that a model was trained on, if it still lies beside the model or in this folder."""
    name = source.card.training.get("data", {}).get("folder")
    if source.path is None or not isinstance(name, str):
        return None
    path = source.path.resolve()
    places = (Path(name), path.parent / name, path.parent.parent / name)
    return next((place for place in places if place.is_dir() and not place.samefile(path)), None)


def weights_name(source: Source, options: ModelOptions) -> str:
    """Return the weights of a model for its card, without the path of this machine."""
    if source.card.compiled:
        return source.card.compiled.weights
    if folder.is_folder(options.model):
        return folder.OWN
    return options.weights if options.weights in ("imagenet", "random") else Path(options.weights).name


def read_labelled(data: Path, source: Source, calibration: frozenset[str]) -> Labelled:
    """Read the photos of a folder per class, except those of the training and the calibration.

    The classes have the names of the labels, or their WordNet IDs. Raises DataError.
    """
    from classifier.evaluation.evaluate import model_labels, unseen  # which imports matplotlib

    info = source.model.info
    used = source.parts | dict.fromkeys(calibration, "train")
    photos = unseen(reading.read(data, info.size, info.resize, least=1), used)
    return Labelled(photos, model_labels(photos, spelt_as(info.labels, photos.classes)))


def compare(source: Source, part: Path, pixels: np.ndarray, test: Labelled | None) -> Comparison:
    """Compare the compiled model in a folder with its source on `pixels`, uint8 (n, h, w, 3), not used before."""
    memory = run_apart(part)
    before, after = source.model, compiled.read(part)
    return Comparison(
        agreement=Agreement.between(before(pixels), after(pixels)),
        accuracy=measure_accuracy(before, after, test) if test else None,
        alone=times(before, after, pixels[:1]),
        in_batch=times(before, after, pixels[:BATCH]),
        memory=Pair(source.memory, memory),
    )


def run_apart(part: Path) -> float | None:
    """Run a compiled folder in a child process; return how many MB that took. Raises StartupError if it crashes."""
    try:
        return compiled_trial.prove(part, compiled_trial.attempt)
    except Unproven as error:
        raise StartupError(
            f"OpenVINO cannot run the compiled model on this processor, where a process that tried {error}; please "
            "compile it on another machine."
        ) from error


def measure_accuracy(before: ServedModel, after: ServedModel, test: Labelled) -> Accuracy:
    from classifier.evaluation.evaluate import predict

    scores = (predict(model, test.photos, np.arange(len(test.labels))) for model in (before, after))
    return Accuracy(len(test.labels), *(float((each.argmax(axis=1) == test.labels).mean()) for each in scores))


def spelt_as(labels: list[Label], classes: list[str]) -> list[str]:
    """Return the WordNet IDs of the labels if the classes are named by them, otherwise the names."""
    wnids = [label.wnid for label in labels]
    return wnids if set(classes) <= set(wnids) else [label.name for label in labels]


def take_over(source: Path | None, part: Path) -> None:
    """Copy what a compiled folder keeps of the model's own."""
    for path in (source / name for name in KEPT) if source else ():
        if path.is_dir():
            shutil.copytree(path, part / path.name)
        elif path.is_file():
            shutil.copy(path, part)
