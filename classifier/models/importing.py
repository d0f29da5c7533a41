"""A saved Keras classifier from elsewhere -> a model folder, if its input and output fit."""

import logging
from collections.abc import Callable
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from classifier.contract import Resize
from classifier.errors import StartupError
from classifier.models import folder, label_files, saved
from classifier.models.folder import ModelCard
from classifier.models.foreign import (
    SCALES,
    Normalisation,
    Preprocessing,
    Scale,
    are_probabilities,
    described,
    found_scale,
    misfit,
)
from classifier.models.precision import PROBABILITIES
from classifier.models.pretrained import find_builder, find_preprocessing
from classifier.models.rebuilding import Config, is_network, layers_of, name_of
from classifier.photos.limits import MAX_SIDE

log = logging.getLogger(__name__)

DEFAULT_SCALE, TEACHABLE_MACHINE_SCALE = "0..255", "-1..1"
TEACHABLE_MACHINE_LAYERS = {"global_average_pooling2d_GlobalAveragePooling2D1", "dense_Dense1", "dense_Dense2"}
PASS_ON = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity, keras.layers.Reshape)


def import_model(
    source: Path,
    labels_path: Path,
    output: Path,
    scale: Scale | None = None,
    resize: Resize = "stretch",
    logits: bool = False,
) -> ModelCard:
    """Write a model folder around a whole saved model, as `saved` reads it, and return its card.

    `scale` is the range the model was trained on: 0..255 (also if the model rescales), 0..1, -1..1, a normalisation, or
    the name of a keras.applications model whose preprocessing was used; None stands for Teachable Machine's if it made
    the model, else for 0..255. The labels are a file as `label_files` reads it, in the order of the outputs. The
    outputs are logits if the last layer is linear, or if `logits` is given. Raises StartupError for files that do not
    fit or that hold code.
    """
    names = label_files.read(labels_path)
    network, config = saved.read(source)
    chosen = scale or known_scale(config)
    shape = height, width, channels = checked_input(source, network)
    classifier = wrapped(source, network, shape, preprocessing(chosen, channels), len(names), logits)
    card = ModelCard(
        labels=names,
        size=(height, width),
        color_mode="grayscale" if channels == 1 else "rgb",
        resize=resize,
        training={"imported_from": source.name, "scale": described(chosen)},
    )
    with folder.replaced(output) as part:
        folder.write(part, classifier, card)
    return card


def known_scale(config: Config) -> str:
    """Return the scale of a model that nobody gave one for."""
    if not is_teachable_machine(config):
        return DEFAULT_SCALE
    log.info("Teachable Machine made this model, so its scale is %s.", TEACHABLE_MACHINE_SCALE)
    return TEACHABLE_MACHINE_SCALE


def is_teachable_machine(config: Config) -> bool:
    """Return True for Teachable Machine's export, which has its own names or, if renamed, its structure.

    The structure is a sequence of two: a network for features with its pooling, and two dense layers, the last without
    a bias.
    """
    if not is_network(config) or rescales(config):
        return False
    if set(map(name_of, leaves(config))) >= TEACHABLE_MACHINE_LAYERS:
        return True
    parts = inner_layers(config)
    if [part["class_name"] for part in (config, *parts)] != ["Sequential"] * 3:
        return False
    features, head = map(inner_layers, parts)
    kinds = [layer["class_name"] for layer in (*features[1:], *head)]
    is_shaped = kinds == ["GlobalAveragePooling2D", "Dense", "Dense"] and is_network(features[0])
    return is_shaped and head[-1]["config"]["use_bias"] is False


def inner_layers(network: Config) -> list[Config]:
    return [layer for layer in layers_of(network) if layer["class_name"] != "InputLayer"]


def leaves(network: Config) -> list[Config]:
    """Return the layers of a network and of the networks within it."""
    found = (leaves(layer) if is_network(layer) else [layer] for layer in layers_of(network))
    return list(chain.from_iterable(found))


def rescales(network: Config) -> bool:
    return any(layer["class_name"] in ("Rescaling", "Normalization") for layer in leaves(network))


def checked_input(source: Path, network: keras.Model) -> tuple[int, int, int]:
    """Return (height, width, channels) of a model that takes one picture of a fixed size. Raises StartupError."""
    shape = getattr(network, "input_shape", None)  # none before it is built
    match shape:
        case (None, int(height), int(width), 1 | 3 as channels) if max(height, width) <= MAX_SIDE:
            return height, width, channels
    raise misfit(
        source, "one picture as its input, of a fixed height and width, with 1 or 3 channels", f"input {shape}"
    )


def wrapped(
    source: Path, network: keras.Model, shape: tuple[int, int, int], scale: Any, labels: int, logits: bool = False
) -> keras.Model:
    """Connect a network to uint8 RGB pictures and to a probability for every label. Raises StartupError."""
    height, width, channels = shape
    pictures = keras.Input((height, width, 3), dtype="uint8", name="images")
    pixels = keras.ops.cast(pictures, "float32")
    if channels == 1:
        pixels = keras.ops.image.rgb_to_grayscale(pixels)
    pixels = scale(pixels)
    missing = missing_activation(source, network, logits)
    try:
        classifier = keras.Model(pictures, probabilities(source, flat(network)(pixels), labels, missing))
    except ValueError:  # a name occurs twice: in two of the inner networks, or in the model and here
        classifier = keras.Model(pictures, probabilities(source, network(pixels), labels, missing))
    check_probabilities(source, network, classifier)
    return classifier


def missing_activation(source: Path, network: keras.Model, logits: bool) -> str | None:
    """Return the activation that turns logits into probabilities, or None for outputs that are probabilities.

    Raises StartupError if they are, but were said to be logits.
    """
    activation = getattr(last_layer(network), "activation", None)
    is_linear = activation is keras.activations.linear
    if logits and activation in (keras.activations.softmax, keras.activations.sigmoid):
        raise StartupError(
            f"The model {source} gives no logits: its last layer has the activation {activation.__name__}; please "
            "leave --logits out."
        )
    if not (is_linear or logits):
        return None
    missing = "sigmoid" if network.outputs[0].shape[-1] == 1 else "softmax"
    reason = "was said to give logits" if logits and not is_linear else "is linear and gives logits"
    log.info("The last layer (%s) %s: a %s was added.", last_layer(network).name, reason, missing)
    return missing


def last_layer(network: keras.Model) -> Any:
    """Return the layer, or operation, whose outputs are the network's, but for those that only pass values on."""
    layer = network
    while True:
        if isinstance(layer, keras.Model):
            layer = layer.layers[-1] if isinstance(layer, keras.Sequential) else layer.outputs[0]._keras_history[0]
        elif passes_on(layer):
            layer = layer.input._keras_history[0]
        else:
            return layer


def passes_on(layer: Any) -> bool:
    is_linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, PASS_ON) or (isinstance(layer, keras.layers.Activation) and is_linear)


def probabilities(source: Path, outputs: Any, labels: int, activation: str | None = None) -> Any:
    """Turn the outputs of a network into probabilities (n, labels). Raises StartupError."""
    scores, *others = keras.tree.flatten(outputs)
    if activation:
        scores = keras.layers.Activation(activation, dtype="float32", name=activation)(scores)
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
    last = last_layer(network)
    is_several = getattr(last, "activation", None) is keras.activations.sigmoid and network.outputs[0].shape[-1] != 1
    noise = np.random.default_rng(0).integers(0, 256, (2, *classifier.input_shape[1:]), np.uint8)
    scores = keras.ops.convert_to_numpy(classifier(noise, training=False))
    if is_several or not are_probabilities(scores):
        raise misfit(
            source,
            "probabilities, which add up to 1 (the last layer with softmax, or one output with sigmoid), or logits, "
            "which --logits declares",
            f"outputs like {scores[0][:3].round(2)} of {last.name}",
        )


def preprocessing(scale: Scale, channels: int = 3) -> Preprocessing:
    """Return the function for a `scale`. Raises StartupError for a name that is unknown or needs colours."""
    if isinstance(scale, Normalisation) or scale in SCALES:
        return found_scale(scale, channels)
    if channels != 3:
        raise StartupError(f"The scale {scale} is for colours; expected {', '.join(SCALES)} for 1 channel.")
    try:
        return find_preprocessing(find_builder(scale))
    except StartupError as error:
        known = f"{', '.join(SCALES)} or the name of a keras.applications model"
        raise StartupError(f"The scale {scale!r} cannot be used: expected {known}.") from error
