"""The configuration of a saved network -> the same network of Keras 3, layer by layer, as one flat graph.

Keras 3 reads few of the files of Keras 2, and not all of its own `.h5`: arguments were dropped, functions of TensorFlow
became layers, and layers have changed. Only layers of Keras itself that compute from their input and their weights are
built here, with arguments of plain data, so a configuration cannot run code or open a file.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain, count
from typing import Any, NamedTuple

import keras

from classifier.models import tensorflow_ops
from classifier.models.precision import PROBABILITIES, default_policy

Config = dict[str, Any]
Trail = tuple[str, ...]  # the names of the networks around a layer, and its own

NETWORKS = ("Sequential", "Functional", "Model")
CODE = ("Lambda",)
OUR_NAMES = ("images", PROBABILITIES)
FAMILIES = tuple(
    f"keras.src.layers.{family}."
    for family in (
        "activations",
        "attention",
        "convolutional",
        "merging",
        "normalization",
        "pooling",
        "regularization",
        "reshaping",
        "rnn",
    )
)
OTHERS = ("CenterCrop", "Dense", "EinsumDense", "Embedding", "Identity", "Normalization", "Rescaling", "Resizing")
RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
# They change pictures or features during training only; FixedDropout is from the package `efficientnet`.
TRAINING_ONLY = re.compile(r"Random(?!Crop).*|.*Dropout.*|GaussianNoise|ActivityRegularization|StochasticDepth")
# Arguments that Keras 3 lacks, and that do not affect an answer.
IRRELEVANT = re.compile(
    r".*_(initializer|regularizer|constraint)|renorm.*|trainable|dtype|(batch_)?input_shape|batch_shape|batch_size"
    r"|(query|key|value)_shape|fused|momentum|implementation|filters|groups|virtual_batch_size|autocast|seed"
)
NOT_GIVEN = re.compile(r".*_(initializer|regularizer|constraint)|dtype|seed")
LAYER_ARGUMENTS = ("layer", "cell", "forward_layer", "backward_layer")  # of wrappers and recurrent layers
RENAMED_ACTIVATIONS = {"softmax_v2": "softmax"}
RENAMED_ARGUMENTS = {("LeakyReLU", "alpha"): "negative_slope", ("ThresholdedReLU", "theta"): "threshold"}


class Unsupported(Exception):
    """A layer that cannot be rebuilt: the reason, as the rest of a sentence about the layer."""

    def __init__(self, layer: str, kind: str, reason: str, holds_code: bool = False) -> None:
        super().__init__(reason)
        self.layer, self.kind, self.reason, self.holds_code = layer, kind, reason, holds_code


class Rebuilt(NamedTuple):
    network: keras.Model
    layers: dict[Trail, keras.layers.Layer]  # all but the networks


def rebuild(config: Config, is_keras_2: bool) -> Rebuilt:
    """Return the network of a configuration, flat and in float32, with weights of zeros.

    Raises Unsupported for a layer, and ValueError, KeyError, TypeError, ... for a damaged configuration.
    """
    with default_policy("float32"):
        builder = Builder(is_keras_2)
        inputs = [keras.Input(shape, name=builder.free_name((name,))) for name, shape in input_shapes(config)]
        outputs = builder.apply(config, (), inputs)
        ends = (found[0] if len(found) == 1 else found for found in (inputs, outputs))
        return Rebuilt(keras.Model(*ends, name=builder.free_name((name_of(config),))), builder.layers)


def layers_of(config: Config) -> list[Config]:
    inner = config["config"]
    return inner if isinstance(inner, list) else inner["layers"]


def name_of(layer: Config) -> str:
    inner = layer["config"]
    return str(layer.get("name") or (inner.get("name") if isinstance(inner, dict) else None) or layer["class_name"])


def is_network(layer: Config) -> bool:
    return layer["class_name"] in NETWORKS or (isinstance(layer["config"], dict) and "layers" in layer["config"])


def input_shapes(config: Config) -> list[tuple[str, tuple[int | None, ...]]]:
    """Return the name and the shape, without the batch, of each input of a network. Raises KeyError if there is none.

    A `Sequential` network without an input layer has its shape in its first layer.
    """
    if config["class_name"] != "Sequential":
        inputs = {name_of(layer): layer for layer in layers_of(config)}
        return [(name, shape_of(inputs[name])) for name, *_ in references(config["config"]["input_layers"])]
    first = layers_of(config)[0]
    if is_network(first):
        return input_shapes(first)
    built = {} if isinstance(config["config"], list) else config["config"]
    shape = built.get("build_input_shape") or config.get("build_config", {}).get("input_shape")
    has_shape = {"batch_input_shape", "batch_shape"} & first["config"].keys()
    return [(f"{name_of(first)}_input", shape_of(first) if has_shape else tuple(constant(shape)[1:]))]


def shape_of(layer: Config) -> tuple[int | None, ...]:
    inner = layer["config"]
    return tuple(constant(inner["batch_input_shape" if "batch_input_shape" in inner else "batch_shape"])[1:])


def references(listed: Any) -> list[list[Any]]:
    """Return [layer, call, output] for each of the inputs or outputs of a network; a single one may stand alone."""
    return [listed] if listed and isinstance(listed[0], str) else list(listed)


def constant(value: Any) -> Any:
    """Return plain data for a value that a configuration wraps in the name of its type."""
    match value:
        case {"class_name": "__ellipsis__"}:
            return ...
        case {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}:
            return slice(start, stop, step)
        case {"start": start, "stop": stop, "step": step}:
            return slice(start, stop, step)
        case {"class_name": "__tuple__" | "TensorShape", "items": list(items)}:
            return tuple(map(constant, items))
        case {"class_name": "__tuple__", "config": {"value": list(items)}}:
            return tuple(map(constant, items))
        case {"class_name": "__numpy__" | "__tensor__", "config": {"value": plain}}:
            return plain
        case {"type": "ndarray", "value": plain}:
            return plain
        case list():
            return [constant(item) for item in value]
    return value


class Node(NamedTuple):
    """One call of a layer within a network: its arguments may be references."""

    layer: Config
    number: int
    arguments: list[Any]
    options: dict[str, Any]


class Reference(NamedTuple):
    """The output of a call: the layer's name, the call's number and the output's."""

    layer: str
    call: int
    output: int


def nodes_of(layer: Config, names: Mapping[str, Any]) -> list[Node]:
    """Return the calls of a layer of a functional network, in order."""
    return [Node(layer, number, *parsed(node, names)) for number, node in enumerate(layer.get("inbound_nodes") or [])]


def parsed(node: Any, names: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments and options of a call as Keras 3 or as Keras 2 writes it.

    Keras 2 writes [layer, call, output, options] for a single tensor, and a list of these for a list of tensors, all
    with the same options; a list of one stands for the tensor itself.
    """
    if isinstance(node, dict):
        return [argument(value, names) for value in node["args"]], options(node["kwargs"], names)
    entries = [node] if isinstance(node[0], str) else node
    tensors = [
        constant(entry[2]) if entry[0] == "_CONSTANT_VALUE" else Reference(entry[0], entry[1], entry[2])
        for entry in entries
    ]
    given = entries[0][3] if len(entries[0]) > 3 else {}
    return [tensors[0] if len(tensors) == 1 else tensors], options(given, names)


def options(given: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call but for those that do not affect an answer."""
    return {
        key: argument(value, names)
        for key, value in given.items()
        if key not in ("training", "name") and not (key == "mask" and value is None)
    }


def argument(value: Any, names: Mapping[str, Any]) -> Any:
    match value:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, call, output]}}:
            return Reference(layer, call, output)
        case [str(layer), int(call), int(output), *_] if layer in names:
            return Reference(layer, call, output)
        case list():
            return [argument(item, names) for item in value]
    return constant(value)


class Calls:
    """The calls of the layers of a network that have been made, and those that can be made next."""

    def __init__(self, layers: Mapping[str, Config], nodes: list[Node], is_keras_2: bool) -> None:
        self.outputs: dict[str, list[Any]] = {name: [] for name in layers}
        self._totals = Counter(name_of(node.layer) for node in nodes)
        self._first = {name: int(is_keras_2 and has_first_call(layer)) for name, layer in layers.items()}

    def output(self, reference: Reference) -> Any:
        return keras.tree.flatten(self.outputs[reference.layer][self._position(reference)])[reference.output]

    def is_ready(self, node: Node) -> bool:
        """Return True if it is this call's turn, and all calls that it refers to have been made."""
        is_next = len(self.outputs[name_of(node.layer)]) == node.number
        needed = references_in([node.arguments, list(node.options.values())])
        return is_next and all(len(self.outputs[found.layer]) > self._position(found) for found in needed)

    def _position(self, reference: Reference) -> int:
        is_repeated = self._totals[reference.layer] > 1
        return reference.call - self._first[reference.layer] if is_repeated else 0


class Builder:
    """Builds layers, each once, and calls them."""

    def __init__(self, is_keras_2: bool) -> None:
        self.layers: dict[Trail, keras.layers.Layer] = {}
        self._is_keras_2 = is_keras_2
        self._names: set[str] = set()

    def apply(self, network: Config, trail: Trail, inputs: list[Any]) -> list[Any]:
        """Call a network, whose own name ends `trail` unless it is the outermost, and return its outputs."""
        if network["class_name"] == "Sequential":
            tensor = inputs[0]
            for layer in layers_of(network):
                if layer["class_name"] != "InputLayer":
                    (tensor,) = keras.tree.flatten(self.call(layer, trail, [tensor], {}))
            return [tensor]
        return self._apply_functional(network, trail, inputs)

    def _apply_functional(self, network: Config, trail: Trail, inputs: list[Any]) -> list[Any]:
        layers = {name_of(layer): layer for layer in layers_of(network)}
        waiting = [node for layer in layers.values() for node in nodes_of(layer, layers)]
        calls = Calls(layers, waiting, self._is_keras_2)
        for (name, *_), tensor in zip(references(network["config"]["input_layers"]), inputs, strict=True):
            calls.outputs[name] = [tensor]
        while waiting:
            node = next(filter(calls.is_ready, waiting))  # StopIteration for a graph with a cycle
            values, chosen = resolved([node.arguments, list(node.options.values())], calls.output)
            options = dict(zip(node.options, chosen, strict=True))
            calls.outputs[name_of(node.layer)].append(self.call(node.layer, trail, values, options))
            waiting.remove(node)
        return [calls.output(Reference(*end[:3])) for end in references(network["config"]["output_layers"])]

    def call(self, layer: Config, trail: Trail, values: list[Any], chosen: dict[str, Any]) -> Any:
        """Apply a layer, a network or a function to tensors. Raises Unsupported."""
        kind, trail = str(layer["class_name"]), (*trail, name_of(layer))
        if is_network(layer) and kind in NETWORKS:
            outputs = self.apply(layer, trail, keras.tree.flatten(values))
            return outputs[0] if len(outputs) == 1 else outputs
        function = self._function(layer, kind)
        try:
            if function:
                return function(values, chosen)
            return self._activated(layer, trail)(*values, **chosen)
        except Unsupported:
            raise
        except Exception as exc:  # Keras raises ValueError, TypeError, AttributeError, ... for what does not fit
            raise Unsupported(trail[-1], kind, "has arguments or inputs that Keras 3 does not accept") from exc

    def _function(self, layer: Config, kind: str) -> Callable[[list[Any], dict[str, Any]], Any] | None:
        """Return the function of a layer that is no layer of Keras 3, or None. Raises Unsupported."""
        config = layer["config"]
        if kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
            name, constants = tensorflow_ops.of_layer(config)
            if not tensorflow_ops.is_known(name):
                raise Unsupported(name_of(layer), f"tf.{name}", "is a function of TensorFlow that has no translation")
            return lambda values, chosen: tensorflow_ops.call(name, placed(values, constants), chosen)
        operation = None if self._is_keras_2 or "trainable" in config else find_operation(kind)
        if operation:
            settings = {key: constant(value) for key, value in config.items() if key not in ("name", "dtype")}
            return lambda values, chosen: operation(*values, **settings, **chosen)
        return None

    def _activated(self, layer: Config, trail: Trail) -> Callable[..., Any]:
        """Return a layer, followed by its activation if Keras 3 computes another one under that name."""
        built, after = self._layer(layer, trail)
        return lambda *values, **chosen: after(built(*values, **chosen)) if after else built(*values, **chosen)

    def _layer(self, layer: Config, trail: Trail) -> tuple[keras.layers.Layer, Callable[[Any], Any] | None]:
        config = dict(layer["config"])
        after = self._activation_after(layer, config, trail)
        if self._is_keras_2 and "'hard_sigmoid'" in str(config):  # within the layer, where nothing can follow it
            raise Unsupported(trail[-1], layer["class_name"], "computes its hard_sigmoid otherwise in Keras 3")
        if trail not in self.layers:
            self.layers[trail] = build(layer["class_name"], config, trail[-1], self.free_name(trail))
        return self.layers[trail], after

    def _activation_after(self, layer: Config, config: Config, trail: Trail) -> Callable[[Any], Any] | None:
        """Write the plain name of the activation into `config`, or "linear" and return what follows the layer."""
        if config.get("activation") is None:
            return None
        match config["activation"]:
            case {"class_name": str(kind), "config": dict()} as inner if kind in vars(keras.layers):
                config["activation"] = "linear"
                return self._activated(inner, (*trail, name_of(inner)))
        config["activation"] = activation_name(config["activation"], layer["class_name"], trail[-1])
        if self._is_keras_2 and config["activation"] == "hard_sigmoid":
            config["activation"] = "linear"
            return hard_sigmoid_of_keras_2
        return None

    def free_name(self, trail: Trail) -> str:
        """Return a name that the flat network has not yet: a layer's own, or with those of the networks around it.

        Keras names operations such as `multiply` by itself, as it once named layers.
        """
        names = [re.sub(r"[/>]", "_", "_".join(trail[start:])) for start in range(len(trail) - 1, -1, -1)]
        numbered = (f"{names[-1]}_layer_{number}" for number in count(1))
        name = next(name for name in chain(names, numbered) if self._is_free(name))
        self._names.add(name)
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self._names and not find_operation(re.sub(r"_\d+$", "", name)) and name not in OUR_NAMES


def has_first_call(layer: Config) -> bool:
    """Return True for a network whose own inputs count as its first call, which no other network refers to."""
    return is_network(layer) and (
        layer["class_name"] != "Sequential" or layers_of(layer)[0]["class_name"] == "InputLayer"
    )


def references_in(value: Any) -> list[Reference]:
    if isinstance(value, Reference):
        return [value]
    return [found for item in value for found in references_in(item)] if isinstance(value, list) else []


def resolved(value: Any, output: Callable[[Reference], Any]) -> Any:
    if isinstance(value, Reference):
        return output(value)
    return [resolved(item, output) for item in value] if isinstance(value, list) else value


def build(kind: str, config: Config, original: str, name: str) -> keras.layers.Layer:
    """Return a layer of Keras with the arguments of a configuration, and weights of zeros. Raises Unsupported."""
    if TRAINING_ONLY.fullmatch(kind):
        return keras.layers.Identity(name=name)
    if kind == "LayerScale":  # of Keras 2's ConvNeXt: a factor for each channel
        channels = (config["projection_dim"],)
        return keras.layers.EinsumDense("...c,c->...c", channels, kernel_initializer="zeros", name=name)
    layer_class = find_class(kind, original)
    accepted = inspect.signature(layer_class.__init__).parameters
    given = {RENAMED_ARGUMENTS.get((kind, key), key): value for key, value in config.items()}
    for key in given.keys() - accepted.keys() - {"name"}:
        if given[key] not in (None, False) and not IRRELEVANT.fullmatch(key):
            raise Unsupported(original, kind, f"has the argument {key}, which Keras 3 does not know")
    known = [key for key in given if key in accepted and not NOT_GIVEN.fullmatch(key)]
    zeros = dict.fromkeys((key for key in accepted if key.endswith("_initializer")), "zeros")
    return layer_class(**{key: plain(kind, key, given[key], original) for key in known} | zeros | {"name": name})


def find_class(kind: str, layer: str) -> Callable[..., Any]:
    """Return the layer of Keras called `kind` if it computes from its input and weights only. Raises Unsupported."""
    if kind in CODE:
        raise Unsupported(layer, kind, "is Python code of its own", holds_code=True)
    found = vars(keras.layers).get(RENAMED.get(kind, kind))
    if inspect.isclass(found) and (found.__name__ in OTHERS or found.__module__.startswith(FAMILIES)):
        return found
    raise Unsupported(layer, kind, "is not among the layers that Keras 3 has for pictures")


def plain(kind: str, key: str, value: Any, layer: str) -> Any:
    """Return the value of an argument as Keras 3 expects it: plain data, or a layer within the layer."""
    match value:
        case {"class_name": str(inner), "config": dict(config)} if key in LAYER_ARGUMENTS:
            return build(inner, dict(config), layer, str(config.get("name") or inner))
        case [axis] if key == "axis" and kind.startswith(("Batch", "Sync", "Softmax")):
            return axis
        case list() if key == "cells":
            return [plain(kind, "cell", cell, layer) for cell in value]
    if key.endswith("activation"):
        return activation_name(value, kind, layer)
    if isinstance(constant(value), dict):  # Keras would make an object of it
        raise Unsupported(layer, kind, f"has an object as its argument {key}, which this site does not read")
    return constant(value)


def activation_name(value: Any, kind: str, layer: str) -> str | None:
    """Return the name of one of Keras' own activations. Raises Unsupported."""
    match value:
        case {"class_name": "function", "config": str(name)} | {"class_name": str(name)}:
            value = name
    name = RENAMED_ACTIVATIONS.get(value, value)
    if name is None or (isinstance(name, str) and inspect.isfunction(vars(keras.activations).get(name))):
        return name
    which = value if isinstance(value, str) else "of another kind"
    raise Unsupported(layer, kind, f"has the activation {which}, which Keras 3 does not know")


def placed(values: list[Any], constants: Mapping[int, Any]) -> list[Any]:
    """Return the arguments of a function: its tensors, with the constants at their positions between them."""
    if not constants:
        return values
    tensors = iter(keras.tree.flatten(values))
    count_of_all = len(keras.tree.flatten(values)) + len(constants)
    return [constants[place] if place in constants else next(tensors) for place in range(count_of_all)]


def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Keras 3 computes relu6(x + 3) / 6 under this name. Source: `keras.backend.hard_sigmoid` of Keras 2."""
    return keras.ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


def find_operation(kind: str) -> Callable[..., Any] | None:
    """Return the function of `keras.ops` for the name of an operation's class, such as TrueDivide."""
    if kind == "GetItem":
        return lambda tensor, key: tensor[tuple(key) if isinstance(key, list) else key]
    found = (vars(module).get(snake_case(kind)) for module in (keras.ops, keras.ops.image))
    return next(filter(inspect.isfunction, found), None)


def snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in files: "depthwise_conv2d" for DepthwiseConv2D."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
