"""The Open Inference Protocol v2 (KServe, Triton): a request's body -> images; answers -> a response's body.

Both with Triton's binary tensor data extension: JSON, then the tensors' bytes. Knows no Flask and no engine.
"""

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from classifier.contract import Prediction
from classifier.errors import Misunderstood, NoImage, TooLarge
from web.api.json_input import Object, member, needed, of_kind, positive, read_object

VERSION = "1"  # of every model, as the protocol wants one
IMAGES, PIXELS = "images", "pixels"
HEADER_LENGTH = "Inference-Header-Content-Length"


class OutputTensor(NamedTuple):
    """An output tensor, of shape [n, k]: what its elements are."""

    datatype: str
    element: Callable[[Prediction], Any]


OUTPUTS = {
    "labels": OutputTensor("BYTES", lambda found: found.label),
    "scores": OutputTensor("FP32", lambda found: found.score),
    "indices": OutputTensor("INT64", lambda found: found.index),
}


@dataclass(frozen=True)
class InferenceRequest:
    """What a request asks for: `images`, encoded, or else `pixels`, uint8 (n, h, w, 3)."""

    id: str | None
    images: list[bytes]
    pixels: np.ndarray | None
    top: int | None
    outputs: dict[str, bool]  # name -> whether as binary data


def metadata(name: str, size: tuple[int, int]) -> Object:
    """What the protocol tells of a model that takes pixels of `size` (h, w). -1 is any number."""
    inputs = [tensor(IMAGES, "BYTES", [-1]), tensor(PIXELS, "UINT8", [-1, *size, 3])]
    outputs = [tensor(output, OUTPUTS[output].datatype, [-1, -1]) for output in OUTPUTS]
    return {"name": name, "versions": [VERSION], "platform": "keras", "inputs": inputs, "outputs": outputs}


def tensor(name: str, datatype: str, shape: Sequence[int], **more: Any) -> Object:
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def read(body: bytes, json_length: str | None, size: tuple[int, int], max_images: int) -> InferenceRequest:
    """What a request asks for. `json_length` is the header that tells where binary data begins.

    Raises Misunderstood, NoImage, or TooLarge for more than `max_images`.
    """
    at = end_of_json(body, json_length)
    # Five per pixel: its numbers, each with a comma, and the brackets around them.
    document = read_object(body[:at], max_values=1000 + max_images * prod(size) * 5)
    parameters = member(document, "parameters", dict) or {}
    given = only_input(document)
    binary = binary_data(given, body[at:])
    of_images = given["name"] == IMAGES
    return InferenceRequest(
        id=member(document, "id", str),
        images=read_images(given, binary, max_images) if of_images else [],
        pixels=None if of_images else read_pixels(given, binary, size, max_images),
        top=positive(parameters, "top_k"),
        outputs=wanted(document, member(parameters, "binary_data_output", bool) or False),
    )


def end_of_json(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    if not (json_length.isascii() and json_length.isdigit() and int(json_length[:20]) <= len(body)):
        raise Misunderstood(f"{HEADER_LENGTH} has to be the length of the JSON, in bytes.")
    return int(json_length)


def only_input(document: Object) -> Object:
    """The one input, its name and datatype checked."""
    inputs = needed(document, "inputs", list)
    if len(inputs) != 1:
        raise Misunderstood(f'A request has to have one input, "{IMAGES}" or "{PIXELS}".')
    given = of_kind(inputs[0], dict, 'Each of "inputs"')
    if (given.get("name"), given.get("datatype")) not in ((IMAGES, "BYTES"), (PIXELS, "UINT8")):
        raise Misunderstood(f'The input has to be "{IMAGES}" of BYTES or "{PIXELS}" of UINT8.')
    return given


def binary_data(given: Object, rest: bytes) -> bytes | None:
    """The input's bytes, all that follows the JSON; None when its data is in the JSON."""
    size = member(member(given, "parameters", dict) or {}, "binary_data_size", int)
    if (size or 0) != len(rest):
        raise Misunderstood(f'"binary_data_size" has to be how many bytes follow the JSON; see {HEADER_LENGTH}.')
    return None if size is None else rest


def wanted(document: Object, binary: bool) -> dict[str, bool]:
    """The outputs that are asked for by name, or all: whether each is to be binary."""
    asked: dict[str, bool] = {}
    for listed in member(document, "outputs", list) or []:
        output = of_kind(listed, dict, 'Each of "outputs"')
        name = needed(output, "name", str)
        if name not in OUTPUTS or name in asked:
            raise Misunderstood(f"The outputs can be {', '.join(OUTPUTS)}, each once.")
        own = member(member(output, "parameters", dict) or {}, "binary_data", bool)
        asked[name] = binary if own is None else own
    return asked or dict.fromkeys(OUTPUTS, binary)


def shape_of(given: Object, expected: Sequence[Sequence[int]], max_images: int) -> list[int]:
    """The input's shape, of 1 to `max_images` images; each may have one of the `expected` shapes."""
    shape = [of_kind(size, int, 'Each of "shape"') for size in needed(given, "shape", list)]
    if not shape or tuple(shape[1:]) not in expected:
        allowed = " or ".join(str(["n", *sizes]).replace("'", "") for sizes in expected)
        raise Misunderstood(f'The shape of "{given["name"]}" has to be {allowed}.')
    if shape[0] < 1:
        raise NoImage("There is no image in a tensor of this shape.")
    if shape[0] > max_images:
        raise TooLarge(f"One request may hold {max_images} photos; please send fewer at once.")
    return shape


def read_images(given: Object, binary: bytes | None, max_images: int) -> list[bytes]:
    """Encoded images: [n] or [n, 1] of BYTES, in base64 where they are in the JSON."""
    count = shape_of(given, [(), (1,)], max_images)[0]
    if binary is not None:
        return unpacked(binary, count)
    data = needed(given, "data", list)
    if len(data) != count:
        raise Misunderstood(f"The shape says that there are {count} images, and the data has {len(data)}.")
    return [from_base64(element[0] if isinstance(element, list) and element else element) for element in data]


def read_pixels(given: Object, binary: bytes | None, size: tuple[int, int], max_images: int) -> np.ndarray:
    """What the model is to look at: [n, h, w, 3] of UINT8, of the model's size."""
    shape = shape_of(given, [(*size, 3)], max_images)
    data = from_numbers(needed(given, "data", list)) if binary is None else np.frombuffer(binary, np.uint8)
    if data.shape not in ((prod(shape),), tuple(shape)):
        raise Misunderstood(f'The data of "{PIXELS}" is not of the shape that it says it has.')
    return data.reshape(shape)


def answer(model: str, asked: InferenceRequest, ranked: Sequence[Sequence[Prediction]]) -> tuple[bytes, dict[str, str]]:
    """The response's body and headers; `ranked` is the k best classes of each of n images."""
    outputs, binary = [], b""
    for name, as_binary in asked.outputs.items():
        datatype, element = OUTPUTS[name]
        data = [element(prediction) for predictions in ranked for prediction in predictions]
        own = packed(datatype, data) if as_binary else b""
        told = {"parameters": {"binary_data_size": len(own)}} if as_binary else {"data": data}
        outputs.append(tensor(name, datatype, (len(ranked), len(ranked[0])), **told))
        binary += own
    id = {} if asked.id is None else {"id": asked.id}
    document = json.dumps({"model_name": model, "model_version": VERSION, **id, "outputs": outputs}).encode()
    if not binary:
        return document, {"Content-Type": "application/json"}
    return document + binary, {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(document))}


LENGTH = struct.Struct("<I")  # before each element of a binary BYTES tensor
NUMBERS: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


def packed(datatype: str, data: Sequence[Any]) -> bytes:
    """The binary form of a tensor of FP32, INT64, or of BYTES that are text."""
    if datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    return np.array(data, NUMBERS[datatype]).tobytes()


def unpacked(data: bytes, count: int) -> list[bytes]:
    """The `count` elements of a binary BYTES tensor. Raises Misunderstood."""
    found, at = [], 0
    try:
        for _ in range(count):
            start = at + LENGTH.size
            at = start + LENGTH.unpack_from(data, at)[0]
            found.append(data[start:at])
    except struct.error:
        at = -1  # it ends within a length
    if at != len(data):
        raise Misunderstood("The binary data is not as many elements as its shape says, each after its length.")
    return found


def from_base64(text: Any) -> bytes:
    """An image in JSON. Raises Misunderstood."""
    try:
        return base64.b64decode(of_kind(text, str, "An image in JSON"), validate=True)
    except ValueError as exc:
        raise Misunderstood("An image in JSON has to be written in base64.") from exc


def from_numbers(data: list[Any]) -> np.ndarray:
    """uint8 of the shape that the lists have. Raises Misunderstood."""
    try:
        only_whole_numbers(data)
        return np.array(data, np.uint8)
    except (ValueError, TypeError, OverflowError) as exc:
        raise Misunderstood("The data of a UINT8 tensor has to be lists of whole numbers from 0 to 255.") from exc


def only_whole_numbers(data: list[Any]) -> None:
    """Raises TypeError for anything else, of which NumPy would make numbers, too, or a very large array."""
    values = data
    while values and isinstance(values[0], list):
        values = list(chain.from_iterable(values))
    if set(map(type, values)) != {int}:
        raise TypeError
