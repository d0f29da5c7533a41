"""ONNX files of a small residual network, as PyTorch and TensorFlow would export it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIDE, WIDTH = 32, 8


def residual(
    layout: str = "NCHW",
    batch: int | str = "batch",
    channels: int = 3,
    classes: int = 3,
    last: Sequence[str] = (),
    shape: Sequence[int] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """Return a network of two convolutions with random weights, which gives logits.

    `batch` is the number of pictures, or the name of a dynamic dimension. `last` are operations after the logits.
    `shape` flattens the features by a Reshape with these constants, instead of a Flatten.
    """
    picture = [channels, SIDE, SIDE] if layout == "NCHW" else [SIDE, SIDE, channels]
    weights = weights_of(channels, classes)
    steps = [
        ("Identity" if layout == "NCHW" else "Transpose", [], {} if layout == "NCHW" else {"perm": [0, 3, 1, 2]}),
        ("Conv", ["first"], {"strides": [2, 2], "pads": [1] * 4}),
        ("Relu", [], {}),
        ("Conv", ["second"], {"pads": [1] * 4}),
        ("Add", ["x2"], {}),  # the output of the first Relu
        ("Relu", [], {}),
        ("GlobalAveragePool", [], {}),
        ("Reshape", ["shape"], {}) if shape else ("Flatten", [], {}),
        ("Abs", [], {}),  # changes nothing; OpenVINO itself would free the batch of a Reshape right before a Gemm
        ("Gemm", ["dense", "bias"], {"transB": 1}),
        *((kind, [], {"axis": 1} if "Softmax" in kind else {}) for kind in last),
    ]
    nodes, source = [], "pictures"
    for i, (kind, inputs, attributes) in enumerate(steps):
        nodes.append(helper.make_node(kind, [source, *inputs], [f"x{i}"], **attributes))
        source = f"x{i}"
    return model(
        nodes,
        weights | ({"shape": np.array(shape)} if shape else {}),
        [value("pictures", [batch, *picture])],
        [value(source, [batch, classes])],
        opset,
    )


def weights_of(channels: int, classes: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "first": random.normal(scale=0.3, size=(WIDTH, channels, 3, 3)).astype(np.float32),
        "second": random.normal(scale=0.2, size=(WIDTH, WIDTH, 3, 3)).astype(np.float32),
        "dense": random.normal(size=(classes, WIDTH)).astype(np.float32),
        "bias": random.normal(size=classes).astype(np.float32),
    }


def model(nodes: Any, weights: dict[str, np.ndarray], inputs: Any, outputs: Any, opset: int = 17) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def value(name: str, shape: Sequence[int | str] | None, kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def keep_outside(network: onnx.ModelProto, name: str, location: str, file: Path) -> None:
    """Move a tensor of a network into a file, which the network calls by another name."""
    tensor = next(tensor for tensor in network.graph.initializer if tensor.name == name)
    file.write_bytes(tensor.raw_data)
    entries = {"location": location, "offset": "0", "length": str(len(tensor.raw_data))}
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
