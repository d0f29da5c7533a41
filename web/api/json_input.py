"""JSON from clients: counted before it is parsed, validated by pydantic, refused with one sentence."""

import json
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from classifier.errors import Misunderstood, TooLarge

EXPECTED = {
    "model_type": "an object",
    "list_type": "a list",
    "is_instance_of": "a list",
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "greater_than_equal": "at least {ge}",
}
KINDS = {dict: "an object", list: "a list", str: "a string", int: "a long number", float: "a long number"}
MAX_SHOWN = 20  # characters of a number
TAG = "#"  # begins the tags of a union, which pydantic adds to the location of an error


class RequestModel(BaseModel):
    """Base of what clients send. Unknown members are ignored, and null means the same as a missing member."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Request = TypeVar("Request", bound=RequestModel)


def read_json(kind: type[Request], data: bytes, max_values: int) -> Request:
    """Return the request that `data` holds as JSON. Raises Misunderstood, or TooLarge for more than `max_values`.

    Values are counted before they are parsed, to bound memory: 20 MB of empty lists would become 500 MB.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise TooLarge("This JSON holds too many values; please send photos as files, in base64, or fewer of them.")
    try:
        # strict=False: base64 is often pasted into the JSON with its line breaks.
        return kind.model_validate(json.loads(data, parse_constant=refuse_constant, strict=False))
    except ValidationError as exc:
        raise Misunderstood(sentence(exc.errors(include_url=False)[0])) from exc
    except (ValueError, RecursionError) as exc:
        raise Misunderstood("The body of this request is not JSON that can be read.") from exc


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python would parse although JSON does not have them."""
    raise ValueError(name)


def sentence(error: ErrorDetails) -> str:
    """Return a sentence for a validation error: the member, what was expected, what was found."""
    if error["type"] == "sentence":
        return error["msg"]
    name = member(error["loc"])
    if error["type"] == "missing":
        return f"{name} is missing; /openapi.json describes this request."
    expected = EXPECTED.get(error["type"], "valid").format(**error.get("ctx", {}))
    return f"{name} must be {expected}, not {described(error['input'])}."


def member(location: tuple[int | str, ...]) -> str:
    """Return the quoted name of the member at a location, for example `"shape[0]"`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(TAG):
            path = step
    return f'"{path}"' if path else "The body of this request"


def described(value: object) -> str:
    """Return a JSON value as it is if it is null, a truth value or a short number, else its kind."""
    text = "" if isinstance(value, dict | list | str) else json.dumps(value)
    return text if 0 < len(text) <= MAX_SHOWN else KINDS[type(value)]


def whole(value: Any) -> Any:
    """Return 3 for 3.0, which JSON does not distinguish, and any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(strict=True), BeforeValidator(whole)]
Count = Annotated[int, Field(strict=True, ge=0), BeforeValidator(whole)]
Positive = Annotated[int, Field(strict=True, ge=1), BeforeValidator(whole)]


def invalid(sentence: str) -> PydanticCustomError:
    """Return an error for validators to raise, which is reported in this sentence."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def refused_as(sentence: str) -> WrapValidator:
    """Return a validator that reports any error of its member in this sentence."""

    def validate(value: Any, validate_member: Any) -> Any:
        try:
            return validate_member(value)
        except ValidationError as exc:
            raise invalid(sentence) from exc

    return WrapValidator(validate)


def length(low: int, high: int, sentence: str) -> BeforeValidator:
    """Return a validator that refuses lists of fewer than `low` or more than `high` elements before it reads them."""

    def validate(value: Any) -> Any:
        if isinstance(value, list) and not low <= len(value) <= high:
            raise invalid(sentence)
        return value

    return BeforeValidator(validate)
