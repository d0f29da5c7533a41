"""The weights in a saved model, given to the layers that they belong to by name, not by position.

Keras 2 orders the weights of a network by what could be trained when it was saved, so a position may be that of
another layer.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import h5py
import keras
import numpy as np

from classifier.models.rebuilding import Config, Trail, is_network, layers_of, name_of, snake_case

Path = tuple[str, ...]
Read = Callable[[], np.ndarray]
Layers = Mapping[Trail, keras.layers.Layer]
Stored = Mapping[Path, h5py.Dataset]

KERAS_2_NAMES = {
    ("DepthwiseConv1D", "kernel"): "depthwise_kernel",
    ("DepthwiseConv2D", "kernel"): "depthwise_kernel",
    ("EinsumDense", "kernel"): "gamma",  # of ConvNeXt's LayerScale
}
CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")


class Misfit(Exception):
    """A layer whose weights are not in the file, or are of another shape: the layer and the rest of a sentence."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(reason)
        self.layer, self.reason = layer, reason


class NamedWeights:
    """Weights that are stored under the names of their layers: `.h5` files and SavedModel folders."""

    def __init__(self, stored: Iterable[tuple[Path, Read]]) -> None:
        self._stored: dict[str, list[tuple[Path, Read]]] = defaultdict(list)  # by the variable's own name
        for path, read in stored:
            self._stored[path[-1]].append((path, read))

    def fill(self, layers: Layers) -> None:
        """Give each layer its weights. Raises Misfit."""
        for trail, layer in layers.items():
            variables = weights_of(layer)
            assign(trail, layer, variables, [self._find(trail, layer, variable) for variable in variables])

    def _find(self, trail: Trail, layer: keras.layers.Layer, variable: Any) -> np.ndarray:
        wanted = path_within(layer, variable)
        for names in (wanted, (*wanted[:-1], KERAS_2_NAMES.get((type(layer).__name__, wanted[-1]), ""))):
            for is_it in comparisons(trail, names):
                found = [read for path, read in self._stored.get(names[-1], ()) if is_it(path)]
                if len(found) == 1:
                    return found[0]()
        raise Misfit(trail[-1], f"lacks its weights {'/'.join(wanted)}")


def path_within(layer: keras.layers.Layer, variable: Any) -> Path:
    """Return the names from a layer down to its variable: ("kernel",), or ("query", "kernel") of an attention."""
    names = str(variable.path).split("/")
    own = layer.name in names
    return tuple(names[names.index(layer.name) + 1 :] if own else names[-1:])


def comparisons(trail: Trail, names: Path) -> Iterable[Callable[[Path], bool]]:
    """Yield comparisons of a stored path with a layer's variable, the strictest first.

    TensorFlow 1 adds a number to a name that was used before in its session, and a layer may have been renamed.
    """
    outer, own = parts(trail[:1]), parts(trail[-1:])
    around, end = parts(trail), (*own, *names)
    yield lambda path: path[: len(around)] == around and path[-len(end) :] == end
    yield lambda path: path[: len(outer)] == outer and path[-len(end) :] == end
    yield lambda path: path[-len(end) :] == end
    yield lambda path: path[: len(outer)] == outer and unnumbered(path[-len(end) :]) == unnumbered(end)
    if len(trail) == 1:
        yield lambda path: path[: len(outer)] == outer and path[-len(names) :] == names


def parts(names: Path) -> Path:
    """Return the names at each level of a file; those of DenseNet's layers have two: "conv1/conv"."""
    return tuple(part for name in names for part in name.split("/"))


def unnumbered(path: Path) -> Path:
    return tuple(re.sub(r"_\d+$", "", name) for name in path)


def weights_of(layer: keras.layers.Layer) -> list[Any]:
    """Return the variables of a layer that affect an answer, which a generator of random numbers does not."""
    return [variable for variable in layer.variables if "seed_generator" not in variable.path]


def assign(trail: Trail, layer: keras.layers.Layer, variables: list[Any], arrays: list[np.ndarray]) -> None:
    """Give a layer its weights. Raises Misfit."""
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise Misfit(trail[-1], f"needs weights of the shape {tuple(variable.shape)}, not {array.shape}")
        variable.assign(array)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def datasets(group: h5py.Group) -> dict[Path, h5py.Dataset]:
    """Return the arrays of a group by their names. Links, which may lead to other files, are not followed."""
    found: dict[Path, h5py.Dataset] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
            found[tuple(name.removesuffix(":0").split("/"))] = item

    group.visititems(visit)
    return found


def of_h5(file: h5py.File) -> NamedWeights:
    """Return the weights of a whole model in the `.h5` of Keras 2 or 3. Raises KeyError if it holds none."""
    return NamedWeights((path, reader(item)) for path, item in datasets(file["model_weights"]).items())


def reader(item: h5py.Dataset) -> Read:
    return lambda: np.asarray(item[()])


def of_checkpoint(config: Config, prefix: FilePath) -> NamedWeights:
    """Return the weights in the checkpoint of a SavedModel folder.

    Raises ImportError without TensorFlow, and its own errors for a damaged checkpoint.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    checkpoint = tf.train.load_checkpoint(str(prefix))
    nodes = TrackableObjectGraph.FromString(checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")).nodes
    saved = {
        ((*parts(trail), *attribute.full_name.split("/")), attribute.checkpoint_key)
        for trail, node in objects(config, (), nodes, nodes[0])
        for attribute in node.attributes
    }
    return NamedWeights((path, partial(checkpoint.get_tensor, key)) for path, key in saved)


def objects(network: Config, trail: Trail, nodes: Any, node: Any) -> Iterator[tuple[Trail, Any]]:
    """Yield every object of a layer below `trail` with the layer's own trail.

    A network's layers are called layer-0, layer-1, ... in its configuration's order; a `Sequential` network does not
    count its input.
    """
    children = {child.local_name: nodes[child.node_id] for child in node.children}
    uncounted = "InputLayer" if network["class_name"] == "Sequential" else None
    counted = [layer for layer in layers_of(network) if layer["class_name"] != uncounted]
    for position, layer in enumerate(counted):
        below = (*trail, name_of(layer))
        if is_network(layer):
            yield from objects(layer, below, nodes, children[f"layer-{position}"])
        else:
            yield from ((below, found) for found in reachable(nodes, children[f"layer-{position}"], depth=4))


def reachable(nodes: Any, node: Any, depth: int) -> Iterator[Any]:
    """Yield an object and what it consists of: a layer's variables, and those of the layers within it."""
    yield node
    for child in node.children if depth else ():
        yield from reachable(nodes, nodes[child.node_id], depth - 1)


class NumberedWeights:
    """The `model.weights.h5` within a `.keras` file of Keras 2.

    It names layers by their class and a number within their network, and the weights of a layer by numbers.
    """

    def __init__(self, config: Config, file: h5py.File) -> None:
        self._config = config
        self._stored = {tuple(re.split(r"[/\\]", "/".join(path))): item for path, item in datasets(file).items()}

    def fill(self, layers: Layers) -> None:
        """Give each layer its weights. Raises Misfit."""
        self._fill_network(self._config, (), layers, self._stored)

    def _fill_network(self, network: Config, trail: Trail, layers: Layers, stored: Stored) -> None:
        """Fill the layers below `trail` from paths relative to their network."""
        kinds: dict[str, list[Config]] = {}
        for layer in layers_of(network):
            if has_weights((*trail, name_of(layer)), layers):
                kinds.setdefault(snake_case(layer["class_name"]), []).append(layer)
        inner = {path[1:]: item for path, item in stored.items() if path[0] in CONTAINERS}
        for kind, members in kinds.items():
            names = sorted({path[0] for path in inner if re.fullmatch(rf"{kind}(_\d+)?", path[0])}, key=number)
            if len(names) != len(members):
                raise Misfit(name_of(members[0]), f"is one of {len(members)}, and {len(names)} are in the file")
            for name, layer in zip(names, members, strict=True):
                self._fill_layer(layer, (*trail, name_of(layer)), layers, below(inner, name))

    def _fill_layer(self, layer: Config, trail: Trail, layers: Layers, stored: Stored) -> None:
        if is_network(layer):
            return self._fill_network(layer, trail, layers, stored)
        try:
            if load(layers[trail], stored) != len(weights_of(layers[trail])):
                raise ValueError("weights are missing")
        except ValueError as exc:
            raise Misfit(trail[-1], "has weights of another number or shape") from exc


def load(layer: keras.layers.Layer, stored: Stored) -> int:
    """Load the weights of a layer and of the layers within it; return how many. Raises ValueError."""
    own = {path[1]: np.asarray(item[()]) for path, item in stored.items() if path[0] == "vars"}
    if own:
        layer.load_own_variables(own)
    inner = {name: vars(layer).get(name) for name in {path[0] for path in stored} - {"vars"}}
    return len(own) + sum(
        load(part, below(stored, name)) for name, part in inner.items() if isinstance(part, keras.layers.Layer)
    )


def below(stored: Stored, name: str) -> Stored:
    return {path[1:]: item for path, item in stored.items() if path[0] == name}


def has_weights(trail: Trail, layers: Layers) -> bool:
    """Return True if a layer, or one of those within a network, has weights."""
    return any(weights_of(layer) for found, layer in layers.items() if found[: len(trail)] == trail)


def number(name: str) -> int:
    return int(name.rpartition("_")[2]) if re.search(r"_\d+$", name) else 0
