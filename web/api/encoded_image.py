"""Images in strings: base64, in all its usual spellings."""

import base64
import re
from typing import Any

from classifier.errors import Misunderstood, NoImage, TooLarge
from web.api.json_input import described

BASE64 = {"type": "string", "format": "byte", "contentEncoding": "base64"}  # the JSON Schema of an image
DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
STANDARD_ALPHABET = str.maketrans("-_", "+/", "\t\n\v\f\r")


def check_count(images: int, max_images: int) -> None:
    """Check that a request holds 1 to `max_images` images. Raises NoImage or TooLarge."""
    if images < 1:
        raise NoImage("There is no image in this request.")
    if images > max_images:
        raise TooLarge(f"One request may hold {max_images} photos; please send fewer at once.")


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
