"""Hugging Face's image-classification task: a request in JSON -> an image; predictions -> the response."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import StrictStr, WithJsonSchema

from classifier.contract import Prediction
from web.api.encoded_image import BASE64, from_base64
from web.api.json_input import Positive, RequestModel, read_json, refused_as

WRONG_FUNCTION = 'Scores here are probabilities, so "function_to_apply" can only be "softmax".'


class ImageClassificationParameters(RequestModel):
    top_k: Positive | None = None
    function_to_apply: Annotated[Literal["softmax"], refused_as(WRONG_FUNCTION)] | None = None


class ImageClassificationInput(RequestModel):
    """An image in base64, with parameters."""

    inputs: Annotated[StrictStr, WithJsonSchema(BASE64)]
    parameters: ImageClassificationParameters | None = None


def read(body: bytes) -> tuple[bytes, int | None]:
    """Return the image of a request in JSON and the number of classes to list. Raises Misunderstood."""
    task = read_json(ImageClassificationInput, body, max_values=1000)
    return from_base64(task.inputs), task.parameters.top_k if task.parameters else None


def response(ranked: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return the response's JSON for the k best classes of an image."""
    return [{"label": prediction.label, "score": prediction.score} for prediction in ranked]
