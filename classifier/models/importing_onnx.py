"""Somebody's ONNX classifier -> a compiled folder, by OpenVINO's own reader.

The reader runs nothing of the file, and reads weights beside it only within its folder.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from classifier.contract import Resize
from classifier.errors import StartupError
from classifier.models import compiled, folder, label_files, labels, openvino_runtime
from classifier.models.folder import Compilation, ModelCard
from classifier.models.foreign import SCALES, Preprocessing, Scale, are_probabilities, described, found_scale, misfit
from classifier.photos.limits import MAX_SIDE
from classifier.text import printable

log = logging.getLogger(__name__)

openvino = openvino_runtime.imported()
ops = openvino.opset13
# OpenVINO's classes, which have no types.
Network: TypeAlias = Any
Node: TypeAlias = Any
Output: TypeAlias = Any

GREYS = np.array([[0.299], [0.587], [0.114]], np.float32)  # of red, green and blue (ITU-R BT.601)
PASS_ON = ("Convert", "Reshape", "Squeeze", "Unsqueeze")
LINEAR = ("Add", "Convolution", "LogSoftmax", "MatMul", "ReduceMean", "Subtract")  # operations that give logits
UNKNOWN = re.compile(r"No conversion rule found for operations: (.+)")  # in OpenVINO's message
AGAIN = "please export it again with torch.onnx.export"
PICTURES = 3  # of noise, which the outputs are judged by


class PictureLayout(NamedTuple):
    """The pictures that a network takes: their size, and the axis of their 1 or 3 channels."""

    height: int
    width: int
    channels: int
    axis: int  # 1: NCHW, 3: NHWC


def import_onnx(
    source: Path,
    labels_path: Path,
    output: Path,
    scale: Scale | None,
    resize: Resize = "crop",
    logits: bool = False,
) -> ModelCard:
    """Write a compiled folder in float32 around an ONNX model and return its card.

    `scale` is the range that the model was trained on: 0..255, 0..1, -1..1 or a normalisation. The labels are a file as
    `label_files` reads it, in the order of the outputs. The outputs are logits if the last operation is linear, or if
    `logits` is given. Raises StartupError for files that do not fit.
    """
    chosen = checked_scale(scale)
    names = label_files.read(labels_path)
    network = read(source)
    layout = checked_input(source, network)
    free_batch(source, network, layout)
    scores = with_preprocessing(source, network, layout, found_scale(chosen, layout.channels))
    classifier = with_probabilities(source, scores, len(names), logits)
    card = ModelCard(
        labels=names,
        wnids=imagenet_ids(names),
        size=(layout.height, layout.width),
        color_mode="grayscale" if layout.channels == 1 else "rgb",
        resize=resize,
        training={"imported_from": source.name, "scale": described(chosen)},
    )
    compilation = Compilation(precision="float32", source=output.resolve().name, weights=source.name)
    with folder.replaced(output) as part:
        compiled.write(part, classifier, card, compilation)
    return card


def imagenet_ids(names: Sequence[str]) -> list[str]:
    """Return the WordNet IDs of ImageNet's 1,000 names, also as torchvision spells them; nothing for others."""
    known = labels.imagenet()
    are_known = [name.replace(" ", "_") for name in names] == [label.name for label in known]
    return [label.wnid for label in known] if are_known else []


def read(source: Path) -> Network:
    """Read an ONNX file, and the weights that it keeps in files of its own folder. Raises StartupError."""
    if not source.is_file():
        raise StartupError(f"The model {source} is not a file; expected an ONNX file.")
    reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
    try:
        network = reader.convert(reader.load(str(source)))
    except Exception as exc:  # RuntimeError, and others that OpenVINO derives from Exception
        raise misfit(source, "an ONNX model", fault(str(exc))) from exc
    if not network.inputs or not network.outputs:
        raise misfit(source, "an ONNX model", f"another or a damaged file; {AGAIN}")
    return network


def fault(message: str) -> str:
    """Return what OpenVINO's message says about a file."""
    unknown = UNKNOWN.search(message)
    if unknown:
        names = printable(unknown[1])[:200]
        return f"operations that OpenVINO does not know ({names}), in place of which please use those of ONNX"
    if "outside the base directory" in message:
        return "weights in a file outside of its folder, which are not read; please put that file beside it"
    if "externally stored data" in message:
        return "weights in another file, which is missing or damaged; please put the whole file beside it"
    return f"another or a damaged file; {AGAIN}"


def checked_input(source: Path, network: Network) -> PictureLayout:
    """Return the layout of a network that takes one picture of a fixed size. Raises StartupError."""
    layouts = [layout_of(port) for port in network.inputs]
    if len(layouts) == 1 and layouts[0]:
        return layouts[0]
    raise misfit(
        source,
        "one picture as its input, of a fixed height and width, with 1 or 3 channels first or last",
        f"{ports(network.inputs)}; {AGAIN}, with such an input",
    )


def layout_of(port: Output) -> PictureLayout | None:
    """Return how an input takes pictures; None if it takes something else, or if the channels may be first or last."""
    shape = port.get_partial_shape()
    if shape.rank != 4 or any(side.is_dynamic for side in list(shape)[1:]):
        return None
    first, middle, last = (side.get_length() for side in list(shape)[1:])
    candidates = PictureLayout(middle, last, first, 1), PictureLayout(first, middle, last, 3)
    usual = [layout for layout in candidates if is_usual(layout)]
    return usual[0] if len(usual) == 1 else None


def is_usual(layout: PictureLayout) -> bool:
    return layout.channels in (1, 3) and 3 < min(layout[:2]) <= max(layout[:2]) <= MAX_SIDE


def ports(found: Sequence[Output]) -> str:
    """Describe inputs or outputs: "2 (boxes [?,100,4], scores [?,100])"."""
    each = [f"{printable(next(iter(port.get_names()), '?'))[:40]} {port.get_partial_shape()}" for port in found[:4]]
    return f"{len(found)} ({', '.join(each)})"


def free_batch(source: Path, network: Network, layout: PictureLayout) -> None:
    """Let a network take any number of pictures, also if a fixed number is part of a shape within it.

    Raises StartupError.
    """
    size = network.input(0).get_partial_shape()[0]
    if not size.is_dynamic:
        for node in dependent(network):
            free_reshape(node, size.get_length())
    height, width, channels, axis = layout
    try:
        network.reshape([-1, channels, height, width] if axis == 1 else [-1, height, width, channels])
    except RuntimeError as exc:
        raise single(source) from exc
    openvino_runtime.fold_constants(network)  # axes and shapes that the reader leaves to be computed


def dependent(network: Network) -> list[Node]:
    """Return the operations that depend on the input, in order."""
    names: set[str] = set()
    found = []
    for node in network.get_ordered_ops():
        inputs = {value.get_node().get_name() for value in node.input_values()}
        if node.get_type_name() == "Parameter" or inputs & names:
            names.add(node.get_name())
            found.append(node)
    return found


def free_reshape(node: Node, batch: int) -> None:
    """Let a Reshape keep the first side of what it is given, if that is the batch and stays it."""
    if node.get_type_name() != "Reshape" or node.input_value(1).get_node().get_type_name() != "Constant":
        return
    shape = node.input_value(0).get_partial_shape()
    target = [int(side) for side in node.input_value(1).get_node().get_data()]
    if shape.rank.is_static and list(shape)[:1] == target[:1] == [batch]:
        kept = ops.reshape(node.input_value(0), np.array([0, *target[1:]]), special_zero=True)
        node.output(0).replace(kept.output(0))


def checked_scale(scale: Scale | None) -> Scale:
    """Return a scale that an ONNX model may have. Raises StartupError."""
    if scale is None:
        raise StartupError(
            "An ONNX file does not say which pixels the model takes; please give the --mean and --std, or the --scale, "
            "that it was trained with."
        )
    if isinstance(scale, str) and scale not in SCALES:
        raise StartupError(f"The scale {scale!r} cannot be used: expected {', '.join(SCALES)}, or --mean and --std.")
    return scale


def with_preprocessing(source: Path, network: Network, layout: PictureLayout, scale: Preprocessing) -> Network:
    """Connect a network to uint8 RGB pictures; it returns float32 (n, outputs). Raises StartupError."""
    pictures = ops.parameter([-1, layout.height, layout.width, 3], np.uint8, name="images")
    pixels = ops.convert(pictures, "f32")
    pixels = scale(pixels if layout.channels == 3 else ops.matmul(pixels, GREYS, False, False))
    if layout.axis == 1:
        pixels = ops.transpose(pixels, np.array([0, 3, 1, 2]))
    theirs = network.input(0)
    pixels = ops.convert(pixels, theirs.get_element_type().to_string())
    for user in theirs.get_target_inputs():
        user.replace_source_output(pixels.output(0))
    scores = ops.convert(ops.reshape(only_output(source, network), np.array([0, -1]), special_zero=True), "f32")
    return openvino.Model([scores], [pictures])


def only_output(source: Path, network: Network) -> Output:
    """Return the output of a network that gives a number for each class and picture. Raises StartupError."""
    if len(network.outputs) == 1:
        output = network.get_results()[0].input_value(0)
        shape = output.get_partial_shape()
        if shape.rank.is_static and len(shape) >= 2 and all(side == 1 for side in list(shape)[2:]):
            return output
    raise misfit(source, "one output, with a number for each class", ports(network.outputs))


def with_probabilities(source: Path, network: Network, classes: int, logits: bool = False) -> Network:
    """Turn the outputs of a network, judged by its answers to noise, into probabilities (n, classes).

    Raises StartupError.
    """
    scores = network.get_results()[0].input_value(0)
    found = answers(source, network)
    if found.shape[1] != classes and (found.shape[1], classes) != (1, 2):
        raise misfit(source, f"an output for each of the {classes} labels", f"{found.shape[1]}")
    missing = missing_activation(source, last_operation(scores), found, logits)
    if missing:
        scores = ops.softmax(scores, 1) if missing == "softmax" else ops.sigmoid(scores)
    if found.shape[1] == 1:
        scores = ops.concat([ops.subtract(np.float32(1), scores), scores], 1)
    return openvino.Model([scores], network.get_parameters())


def answers(source: Path, network: Network) -> np.ndarray:
    """Return the outputs for noise, float32 (n, outputs), which must not depend on the rest of the batch.

    Raises StartupError.
    """
    height, width = (network.input(0).get_partial_shape()[axis].get_length() for axis in (1, 2))
    noise = np.random.default_rng(0).integers(0, 256, (PICTURES, height, width, 3), np.uint8)
    try:
        run = compiled.runner(network, "float32")
        together = run(noise).copy()
        alone = np.concatenate([run(noise[i : i + 1]).copy() for i in range(PICTURES)])
    except RuntimeError as exc:
        raise single(source) from exc
    if not np.isfinite(together).all():
        raise misfit(source, "finite numbers as outputs", f"outputs like {together[0][:3]}")
    if together.shape != alone.shape or not np.allclose(together, alone, rtol=1e-3, atol=1e-3):
        raise single(source)
    return together


def single(source: Path) -> StartupError:
    return misfit(
        source,
        "a model that takes any number of pictures at once",
        f"one with a fixed batch within; {AGAIN} and a dynamic batch (dynamic_axes or dynamic_shapes)",
    )


def last_operation(output: Output) -> str:
    """Return the kind of the last operation that does more than pass values on."""
    node = output.get_node()
    while node.get_type_name() in PASS_ON:
        node = node.input_value(0).get_node()
    return str(node.get_type_name())


def missing_activation(source: Path, last: str, found: np.ndarray, logits: bool) -> str | None:
    """Return the activation that turns logits into probabilities, or None for outputs that are probabilities.

    Raises StartupError for others.
    """
    is_single = found.shape[1] == 1
    if logits and last in ("Softmax", "Sigmoid"):
        raise StartupError(
            f"The model {source} gives no logits: its last operation is {last}; please leave --logits out."
        )
    are_finished = last == "Sigmoid" if is_single else are_probabilities(found)
    if are_finished and not logits:
        return None
    if not logits and last not in LINEAR:
        raise misfit(
            source,
            "probabilities, which add up to 1, or logits, which --logits declares",
            f"outputs like {found[0][:3].round(2)} of {last}",
        )
    missing = "sigmoid" if is_single else "softmax"
    log.info("The last operation (%s) gives logits: a %s was added.", last, missing)
    return missing
