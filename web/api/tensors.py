"""The data of the Open Inference Protocol's tensors, as JSON and as Triton's binary extension writes it."""

import base64
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from classifier.errors import Misunderstood
from web.api.json_input import of_kind

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
