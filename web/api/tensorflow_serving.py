"""TensorFlow Serving's REST API: a request in JSON -> images; predictions -> the response.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, StrictStr, WithJsonSchema

from classifier.contract import Prediction
from classifier.errors import Misunderstood
from web.api.encoded_image import BASE64, check_count, from_base64
from web.api.json_input import RequestModel, read_json, refused_as

WRONG_IMAGE = 'Every image must be an object such as {"b64": "..."}, which holds a file in base64.'
WRONG_FORMAT = 'A request must have either "instances" or "inputs", a list of images.'
VALUES_PER_IMAGE = 4  # its object, the one around it that names the input, and their commas


def unnamed(value: Any) -> Any:
    """Return the input without its name if it has one: {"image_bytes": x} -> x. A model here has only one input."""
    if isinstance(value, dict) and len(value) == 1 and "b64" not in value:
        (value,) = value.values()
    return value


class EncodedImage(RequestModel):
    b64: Annotated[StrictStr, WithJsonSchema(BASE64)]


Image = Annotated[EncodedImage, refused_as(WRONG_IMAGE), BeforeValidator(unnamed)]
Images = Annotated[list[Image], Field(json_schema_extra={"minItems": 1})]


def only(member: str, other: str) -> dict[str, Any]:
    """Return the schema of a request that has one of two members."""
    return {"required": [member], "properties": {member: {"type": "array"}, other: {"type": "null"}}}


class PredictRequest(RequestModel):
    """Images in the row format (`instances`) or in the column format (`inputs`)."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [only("instances", "inputs"), only("inputs", "instances")]})

    instances: Images | None = None
    inputs: Annotated[Images | None, BeforeValidator(unnamed)] = None


class Predict(NamedTuple):
    """The images of a request, still encoded as files, and the member that holds their predictions."""

    images: list[bytes]
    member: Literal["predictions", "outputs"]


def read(body: bytes, max_images: int) -> Predict:
    """Return the images of a request in JSON. Raises Misunderstood, NoImage, or TooLarge for more than `max_images`."""
    request = read_json(PredictRequest, body, max_values=1000 + VALUES_PER_IMAGE * max_images)
    images = request.inputs if request.instances is None else request.instances
    if images is None or None not in (request.instances, request.inputs):
        raise Misunderstood(WRONG_FORMAT)
    check_count(len(images), max_images)
    encoded = [from_base64(image.b64) for image in images]
    return Predict(encoded, "outputs" if request.instances is None else "predictions")


def response(member: str, ranked: Sequence[Sequence[Prediction]]) -> dict[str, list[list[float]]]:
    """Return the response's JSON: for each image, the probabilities of all classes in the order of the model."""
    return {member: [[prediction.score for prediction in in_order(predictions)] for predictions in ranked]}


def in_order(predictions: Sequence[Prediction]) -> list[Prediction]:
    return sorted(predictions, key=lambda prediction: prediction.index)


def status(version: str) -> dict[str, Any]:
    """Return the JSON for a model that has one version, which is loaded."""
    state = {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [state]}
