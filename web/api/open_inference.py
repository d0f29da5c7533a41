"""The Open Inference Protocol v2 (KServe, Triton): a request's body -> images; answers -> a response's body.

Both support Triton's binary tensor data extension, in which the tensors' bytes follow the JSON.
"""

import json
import reprlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import (
    AfterValidator,
    Discriminator,
    FailFast,
    Field,
    InstanceOf,
    StrictBool,
    StrictStr,
    Tag,
    WithJsonSchema,
)

from classifier.contract import Answer, Prediction
from classifier.errors import Misunderstood
from classifier.terms import certainty
from web.api.encoded_image import BASE64, check_count, from_base64
from web.api.json_input import (
    TAG,
    Count,
    Positive,
    RequestModel,
    Whole,
    invalid,
    length,
    read_json,
    refused_as,
)

Object = dict[str, Any]

VERSION = "1"  # of every model; the protocol requires one
IMAGES, PIXELS = "images", "pixels"
INPUTS = {IMAGES: "BYTES", PIXELS: "UINT8"}  # the datatype of each
HEADER_LENGTH = "Inference-Header-Content-Length"


class OutputTensor(NamedTuple):
    """An output tensor of shape [n, k]: its datatype and how to read an element from a prediction."""

    datatype: str
    element: Callable[[Prediction], Any]


OUTPUTS = {
    "labels": OutputTensor("BYTES", lambda prediction: prediction.label),
    "scores": OutputTensor("FP32", lambda prediction: prediction.score),
    "indices": OutputTensor("INT64", lambda prediction: prediction.index),
}
WRONG_INPUT = f'The input must be "{IMAGES}" of BYTES or "{PIXELS}" of UINT8.'
WRONG_COUNT = f'A request must have one input, "{IMAGES}" or "{PIXELS}".'
WRONG_OUTPUT = f"The outputs can be {', '.join(OUTPUTS)}, each once."

# These lists may hold millions of numbers, so pydantic does not look at the elements.
ImageData = Annotated[InstanceOf[list[Any]], WithJsonSchema({"type": "array", "items": BASE64, "minItems": 1})]
PixelData = Annotated[InstanceOf[list[Any]], WithJsonSchema({"type": "array", "items": {"type": ["integer", "array"]}})]


class BinaryDataSize(RequestModel):
    binary_data_size: Count | None = None


class InputTensor(RequestModel):
    """The members that every input has."""

    shape: Annotated[list[Whole], FailFast()]
    parameters: BinaryDataSize | None = None

    @property
    def binary_size(self) -> int | None:
        return self.parameters.binary_data_size if self.parameters else None


class ImagesTensor(InputTensor):
    """Encoded images: in base64, or as binary data after the JSON."""

    name: Literal["images"]
    datatype: Literal["BYTES"]
    data: ImageData | None = None


class PixelsTensor(InputTensor):
    """Pixels of the model's size: lists of whole numbers, nested or flat, or binary data after the JSON."""

    name: Literal["pixels"]
    datatype: Literal["UINT8"]
    data: PixelData | None = None


def input_tag(tensor: Any) -> str | None:
    """Return the tag of the tensor that an input claims to be, None if it is neither."""
    if not isinstance(tensor, dict):
        return TAG + IMAGES  # which reports that this is not an object
    given = tensor.get("name"), tensor.get("datatype")
    return next((TAG + name for name, datatype in INPUTS.items() if given == (name, datatype)), None)


AnyInput = Annotated[
    Annotated[ImagesTensor, Tag(TAG + IMAGES)] | Annotated[PixelsTensor, Tag(TAG + PIXELS)],
    Discriminator(input_tag, custom_error_type="sentence", custom_error_message=WRONG_INPUT),
]


class BinaryData(RequestModel):
    binary_data: StrictBool | None = None


class RequestedOutput(RequestModel):
    name: Annotated[Literal["labels", "scores", "indices"], refused_as(WRONG_OUTPUT)]
    parameters: BinaryData | None = None

    @property
    def is_binary(self) -> bool | None:
        return self.parameters.binary_data if self.parameters else None


def distinct(outputs: list[RequestedOutput]) -> list[RequestedOutput]:
    if len({output.name for output in outputs}) < len(outputs):
        raise invalid(WRONG_OUTPUT)
    return outputs


RequestedOutputs = Annotated[
    list[RequestedOutput],
    Field(max_length=len(OUTPUTS), json_schema_extra={"uniqueItems": True}),
    length(0, len(OUTPUTS), WRONG_OUTPUT),
    AfterValidator(distinct),
]


class InferenceParameters(RequestModel):
    top_k: Positive | None = None
    binary_data_output: StrictBool | None = None


class InferenceRequest(RequestModel):
    """A request in JSON. Binary data follows the JSON."""

    id: StrictStr | None = None
    parameters: InferenceParameters | None = None
    inputs: Annotated[list[AnyInput], Field(min_length=1, max_length=1), length(1, 1, WRONG_COUNT)]
    outputs: RequestedOutputs | None = None


@dataclass(frozen=True)
class Inference:
    """A request with its input decoded: `images`, still encoded as files, or else `pixels`, uint8 (n, h, w, 3)."""

    id: str | None
    images: list[bytes]
    pixels: np.ndarray | None
    top: int | None
    outputs: dict[str, bool]  # name -> whether as binary data


def metadata(name: str, size: tuple[int, int]) -> Object:
    """Return the protocol's metadata of a model that takes pixels of `size` (h, w). -1 stands for any number."""
    inputs = [tensor(IMAGES, "BYTES", [-1]), tensor(PIXELS, "UINT8", [-1, *size, 3])]
    outputs = [tensor(output, OUTPUTS[output].datatype, [-1, -1]) for output in OUTPUTS]
    return {"name": name, "versions": [VERSION], "platform": "keras", "inputs": inputs, "outputs": outputs}


def tensor(name: str, datatype: str, shape: Sequence[int], **more: Any) -> Object:
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def read(body: bytes, json_length: str | None, size: tuple[int, int], max_images: int) -> Inference:
    """Return the decoded request of a body. `json_length` is the header with the length of the JSON, in bytes.

    Raises Misunderstood, NoImage, or TooLarge for more than `max_images`.
    """
    at = end_of_json(body, json_length)
    # Five per pixel: its numbers, each with a comma, and the brackets around them.
    request = read_json(InferenceRequest, body[:at], max_values=1000 + max_images * prod(size) * 5)
    parameters = request.parameters or InferenceParameters()
    given = request.inputs[0]
    binary = binary_data(given, body[at:])
    return Inference(
        id=request.id,
        images=read_images(given, binary, max_images) if isinstance(given, ImagesTensor) else [],
        pixels=read_pixels(given, binary, size, max_images) if isinstance(given, PixelsTensor) else None,
        top=parameters.top_k,
        outputs=requested_outputs(request.outputs, parameters.binary_data_output or False),
    )


def end_of_json(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    if not (json_length.isascii() and json_length.isdigit() and int(json_length[:20]) <= len(body)):
        raise Misunderstood(f"{HEADER_LENGTH} must be the length of the JSON, in bytes.")
    return int(json_length)


def binary_data(given: InputTensor, rest: bytes) -> bytes | None:
    """Return the input's binary data, which is all that follows the JSON, or None if its data is in the JSON."""
    if (given.binary_size or 0) != len(rest):
        raise Misunderstood(f'"binary_data_size" must be the number of bytes after the JSON; see {HEADER_LENGTH}.')
    return None if given.binary_size is None else rest


def requested_outputs(outputs: Sequence[RequestedOutput] | None, binary: bool) -> dict[str, bool]:
    """Return the requested outputs, or all: name -> whether as binary data, for which `binary` is the default."""
    chosen = {output.name: output.is_binary for output in outputs or []}
    return {name: binary if own is None else own for name, own in chosen.items()} or dict.fromkeys(OUTPUTS, binary)


def check_shape(given: ImagesTensor | PixelsTensor, expected: Sequence[Sequence[int]], max_images: int) -> None:
    """Check that an input holds 1 to `max_images` images, each of one of the `expected` shapes."""
    if not given.shape or tuple(given.shape[1:]) not in expected:
        allowed = " or ".join(str(["n", *sizes]).replace("'", "") for sizes in expected)
        raise Misunderstood(f'The shape of "{given.name}" must be {allowed}, not {reprlib.repr(given.shape)}.')
    check_count(given.shape[0], max_images)


def data_of(given: ImagesTensor | PixelsTensor) -> list[Any]:
    if given.data is None:
        raise Misunderstood(f'"data" of "{given.name}" must be a list, or follow the JSON as binary data.')
    return given.data


def read_images(given: ImagesTensor, binary: bytes | None, max_images: int) -> list[bytes]:
    """Return the encoded images of a tensor of shape [n] or [n, 1]."""
    check_shape(given, [(), (1,)], max_images)
    count = given.shape[0]
    if binary is not None:
        return unpacked(binary, count)
    data = data_of(given)
    if len(data) != count:
        raise Misunderstood(f"The shape declares {count} images, but the data has {len(data)}.")
    return [from_base64(element[0] if isinstance(element, list) and element else element) for element in data]


def read_pixels(given: PixelsTensor, binary: bytes | None, size: tuple[int, int], max_images: int) -> np.ndarray:
    """Return the pixels of a tensor: uint8 [n, h, w, 3], of the model's size."""
    check_shape(given, [(*size, 3)], max_images)
    data = from_numbers(data_of(given)) if binary is None else np.frombuffer(binary, np.uint8)
    if data.shape not in ((prod(given.shape),), tuple(given.shape)):
        raise Misunderstood(f'The data of "{PIXELS}" does not have the shape that "shape" declares.')
    return data.reshape(given.shape)


def response_body(
    model: str, inference: Inference, answers: Sequence[Answer], sure_from: float
) -> tuple[bytes, dict[str, str]]:
    """Return the response's body and headers for the answers to n images, each with its k best classes.

    A name is sure from the probability `sure_from` on; 0 if every name counts as sure.
    """
    outputs, binary = [], b""
    ranked = [answer.predictions for answer in answers]
    for name, as_binary in inference.outputs.items():
        datatype, element = OUTPUTS[name]
        data = [element(prediction) for predictions in ranked for prediction in predictions]
        own = packed(datatype, data) if as_binary else b""
        content = {"parameters": {"binary_data_size": len(own)}} if as_binary else {"data": data}
        outputs.append(tensor(name, datatype, (len(ranked), len(ranked[0])), **content))
        binary += own
    id = {} if inference.id is None else {"id": inference.id}
    parameters = certainties(answers, sure_from) | resemblances(answers)
    about = {"model_name": model, "model_version": VERSION} | id | ({"parameters": parameters} if parameters else {})
    document = json.dumps(about | {"outputs": outputs}).encode()
    if not binary:
        return document, {"Content-Type": "application/json"}
    return document + binary, {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(document))}


def certainties(answers: Sequence[Answer], sure_from: float) -> Object:
    """Return the response's parameters, which can only be texts, numbers and booleans: one set for each image.

    `sure_0`, `broader_0`, `broader_wnid_0` and `broader_score_0` belong to the first image.
    """
    parameters: Object = {}
    for image, answer in enumerate(answers):
        sure, broader = certainty(answer.predictions[0].score, answer.broader, sure_from)
        parameters |= {} if sure is None else {f"sure_{image}": sure}
        if broader:
            parameters[f"broader_{image}"] = broader.label
            parameters[f"broader_wnid_{image}"] = broader.wnid
            parameters[f"broader_score_{image}"] = broader.score
    return parameters


def resemblances(answers: Sequence[Answer]) -> Object:
    """Return further parameters: `familiar_0` and `familiarity_0` belong to the first image."""
    parameters: Object = {}
    for image, answer in enumerate(answers):
        if answer.familiarity is not None:
            parameters |= {f"familiar_{image}": answer.familiar, f"familiarity_{image}": answer.familiarity}
    return parameters


LENGTH = struct.Struct("<I")  # before each element of a binary BYTES tensor
NUMBERS: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}


def packed(datatype: str, data: Sequence[Any]) -> bytes:
    """Return the binary form of a tensor of FP32, of INT64, or of BYTES that are text."""
    if datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    return np.array(data, NUMBERS[datatype]).tobytes()


def unpacked(data: bytes, count: int) -> list[bytes]:
    """Return the `count` elements of a binary BYTES tensor. Raises Misunderstood."""
    elements, at = [], 0
    try:
        for _ in range(count):
            start = at + LENGTH.size
            at = start + LENGTH.unpack_from(data, at)[0]
            elements.append(data[start:at])
    except struct.error:
        at = -1  # it ends within a length
    if at != len(data):
        raise Misunderstood("The binary data must hold as many elements as the shape declares, each after its length.")
    return elements


def from_numbers(data: list[Any]) -> np.ndarray:
    """Return lists of numbers as uint8, of the shape that the lists have. Raises Misunderstood."""
    try:
        check_whole_numbers(data)
        return np.array(data, np.uint8)
    except (ValueError, TypeError, OverflowError) as exc:
        raise Misunderstood("The data of a UINT8 tensor must be lists of whole numbers from 0 to 255.") from exc


def check_whole_numbers(data: list[Any]) -> None:
    """Raise TypeError for other values, which NumPy would convert to numbers or to a very large array."""
    values = data
    while values and isinstance(values[0], list):
        values = list(chain.from_iterable(values))
    if set(map(type, values)) != {int}:
        raise TypeError
