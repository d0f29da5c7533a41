"""JSON from clients: counted before it is parsed, validated by pydantic, refused with one sentence."""

import base64
import json
import re
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from classifier.errors import Misunderstood, NoImage, TooLarge

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
BASE64 = {"type": "string", "format": "byte", "contentEncoding": "base64"}  # the JSON Schema of an image in JSON
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


def check_count(images: int, max_images: int) -> None:
    """Check that a request holds 1 to `max_images` images. Raises NoImage or TooLarge."""
    if images < 1:
        raise NoImage("There is no image in this request.")
    if images > max_images:
        raise TooLarge(f"One request may hold {max_images} photos; please send fewer at once.")


DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
STANDARD_ALPHABET = str.maketrans("-_", "+/", "\t\n\v\f\r")


def from_base64(text: Any) -> bytes:
    """Return an image that JSON holds in base64 (RFC 4648): in either alphabet, wrapped or not, or as a data URL.

    Raises Misunderstood.
    """
    if not isinstance(text, str):
        raise Misunderstood(f"An image in JSON must be a string in base64, not {described(text)}.")
    digits = without_blanks(without_data_url(text.strip()).translate(STANDARD_ALPHABET)).rstrip("=")
    if stray := NOT_BASE64.search(digits):
        raise Misunderstood(
            f"An image in JSON must be in base64, but its character {stray.start() + 1}, not counting line breaks, "
            f"is {named(stray[0])}."
        )
    if len(digits) % 4 == 1:
        raise Misunderstood("The base64 of this image has lost its end; please send all of it.")
    return base64.b64decode(digits + "=" * (-len(digits) % 4))


def without_data_url(text: str) -> str:
    """Return the base64 of a data URL (RFC 2397), or any other text as it is. Raises Misunderstood."""
    header = DATA_URL.match(text)
    if not header:
        return text
    if not header[1].lower().endswith(";base64"):
        raise Misunderstood('A data URL must hold its image in base64, as "data:image/jpeg;base64,..." does.')
    encoded = text[header.end() :]
    for char in "+/=":  # unquote() would take 60 times the memory
        encoded = encoded.replace(f"%{ord(char):02X}", char).replace(f"%{ord(char):02x}", char)
    return encoded


def without_blanks(text: str) -> str:
    """Return base64 without blanks that stand for line breaks: each has a multiple of four characters before it.

    Any other blank may have been a "+", so it stays, to be refused.
    """
    blanks = re.finditer(" ", text)
    are_breaks = all((blank.start() - earlier) % 4 == 0 for earlier, blank in enumerate(blanks))
    return text.replace(" ", "") if are_breaks else text


def named(char: str) -> str:
    """Return a character as a sentence shows it: in quotes, or its number if it cannot be printed."""
    if char == " ":
        return 'a space, which may have been a "+"'
    return f'"{char}"' if char.isprintable() else f"U+{ord(char):04X}"
