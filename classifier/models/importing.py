"""A saved Keras classifier from elsewhere -> a model folder, if its input and output fit."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from classifier.contract import Resize
from classifier.errors import StartupError
from classifier.models import folder, labels
from classifier.models.folder import ModelCard
from classifier.models.precision import PROBABILITIES
from classifier.models.pretrained import find_builder, find_preprocessing
from classifier.photos.limits import MAX_SIDE
from classifier.text import is_class_name, one_line

# The range of pixels that a model was trained on; any other scale is the name of a keras.applications model.
SCALES = {
    "0..255": lambda pixels: pixels,
    "0..1": lambda pixels: pixels / 255.0,
    "-1..1": lambda pixels: pixels / 127.5 - 1.0,
}


def import_model(
    source: Path, labels_path: Path, output: Path, scale: str = "0..255", resize: Resize = "stretch"
) -> ModelCard:
    """Write a model folder around a whole saved model, `.keras` or `.h5`, and return its card.

    `scale` is the range the model was trained on: 0..255 (also if the model rescales), 0..1, -1..1, or the name of a
    keras.applications model whose preprocessing was used. The labels are a class-index file, or a text file with a
    name per line, in the order of the outputs. Raises StartupError for files that do not fit or that hold code.
    """
    names = read_labels(labels_path)
    network = folder.load_network(source)
    shape = height, width, channels = checked_input(source, network)
    classifier = wrapped(source, network, shape, preprocessing(scale, channels), len(names))
    card = ModelCard(
        labels=names,
        size=(height, width),
        color_mode="grayscale" if channels == 1 else "rgb",
        resize=resize,
        training={"imported_from": source.name, "scale": scale},
    )
    with folder.replaced(output) as part:
        folder.write(part, classifier, card)
    return card


def checked_input(source: Path, network: keras.Model) -> tuple[int, int, int]:
    """Return (height, width, channels) of a model that takes one picture of a fixed size. Raises StartupError."""
    shape = getattr(network, "input_shape", None)  # none before it is built
    match shape:
        case (None, int(height), int(width), 1 | 3 as channels) if max(height, width) <= MAX_SIDE:
            return height, width, channels
    raise misfit(
        source, "one picture as its input, of a fixed height and width, with 1 or 3 channels", f"input {shape}"
    )


def wrapped(source: Path, network: keras.Model, shape: tuple[int, int, int], scale: Any, labels: int) -> keras.Model:
    """Connect a network to uint8 RGB pictures and to a probability for every label. Raises StartupError."""
    height, width, channels = shape
    pictures = keras.Input((height, width, 3), dtype="uint8", name="images")
    pixels = keras.ops.cast(pictures, "float32")
    if channels == 1:
        pixels = keras.ops.image.rgb_to_grayscale(pixels)
    pixels = scale(pixels)
    try:
        classifier = keras.Model(pictures, probabilities(source, flat(network)(pixels), labels))
    except ValueError:  # a name occurs twice: in two of the inner networks, or in the model and here
        classifier = keras.Model(pictures, probabilities(source, network(pixels), labels))
    check_probabilities(source, network, classifier)
    return classifier


def probabilities(source: Path, outputs: Any, labels: int) -> Any:
    """Turn the outputs of a network into probabilities (n, labels). Raises StartupError."""
    scores, *others = keras.tree.flatten(outputs)
    if scores.shape == (None, 1) and labels == 2:
        scores = keras.ops.concatenate([1 - scores, scores], axis=-1)
    if others or scores.shape != (None, labels):
        found = ", ".join(str(tensor.shape) for tensor in keras.tree.flatten(outputs))
        raise misfit(source, f"an output for each of the {labels} labels", f"output {found}")
    return keras.layers.Identity(dtype="float32", name=PROBABILITIES)(scores)


def flat(layer: Any) -> Callable[..., Any]:
    """Return a function that applies a network, and the networks within it, layer by layer.

    The result is one graph, whose feature maps are accessible. Anything but a network of layers is returned as it is.
    """
    if not isinstance(layer, keras.Sequential) and not hasattr(layer, "_run_through_graph"):
        return cast(Callable[..., Any], layer)

    def apply(tensor: Any, **_: Any) -> Any:  # without mask and training, which do not affect inference
        if isinstance(layer, keras.Sequential):
            return reduce(lambda tensor, inner: flat(inner)(tensor), layer.layers, tensor)
        return layer._run_through_graph(tensor, flat)

    return apply


def check_probabilities(source: Path, network: keras.Model, classifier: keras.Model) -> None:
    """Raise StartupError unless the outputs are probabilities, judged by the last layer and by the answers to noise."""
    last = network
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    unfit = [keras.activations.linear, *([keras.activations.sigmoid] if network.outputs[0].shape[-1] != 1 else [])]
    noise = np.random.default_rng(0).integers(0, 256, (2, *classifier.input_shape[1:]), np.uint8)
    scores = keras.ops.convert_to_numpy(classifier(noise, training=False))
    add_up = np.isfinite(scores).all() and (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    if getattr(last, "activation", None) in unfit or not add_up:
        raise misfit(
            source,
            "probabilities, which add up to 1 (the last layer with softmax, or one output with sigmoid)",
            f"outputs like {scores[0][:3].round(2)} of {last.name}",
        )


def preprocessing(scale: str, channels: int = 3) -> Any:
    """Return the function for a `scale`. Raises StartupError for a name that is unknown or needs colours."""
    if scale in SCALES:
        return SCALES[scale]
    if channels != 3:
        raise StartupError(f"The scale {scale} is for colours; expected {', '.join(SCALES)} for 1 channel.")
    try:
        return find_preprocessing(find_builder(scale))
    except StartupError as error:
        known = f"{', '.join(SCALES)} or the name of a keras.applications model"
        raise StartupError(f"The scale {scale!r} cannot be used: expected {known}.") from error


def read_labels(path: Path) -> list[str]:
    """Read the names in a class-index file (.json) or a text file with one per line. Raises StartupError."""
    if path.suffix.lower() == ".json":
        return [label.name for label in labels.read(path)]
    try:
        names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as exc:
        raise StartupError(f"The labels {path} cannot be read ({one_line(exc)}).") from exc
    if len(names) < 2:
        raise StartupError(f"The labels {path} cannot be used: expected a name per line, found {len(names)}.")
    for name in names:
        if not is_class_name(name):
            raise StartupError(f"The labels {path} cannot be used: {name!r} has characters that cannot be shown.")
    return names


def misfit(source: Path, expected: str, found: str) -> StartupError:
    return StartupError(f"The model {source} cannot be imported: expected {expected}, found {found}.")
