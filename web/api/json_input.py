"""JSON that strangers send: read within bounds, each of its members of the kind that is expected."""

import json
from typing import Any, TypeVar

from classifier.errors import Misunderstood, TooLarge

T = TypeVar("T")

Object = dict[str, Any]

KINDS = {dict: "an object", list: "a list", str: "a string", int: "a whole number", bool: "true or false"}


def read_object(data: bytes, max_values: int) -> Object:
    """The JSON object that `data` is. Raises Misunderstood, or TooLarge for more than `max_values` values.

    Counting before reading bounds memory: twenty megabytes of empty lists would become half a gigabyte.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise TooLarge("This JSON holds too many values; please send photos as they are, or fewer of them.")
    try:
        document = json.loads(data, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise Misunderstood("The body of this request is not JSON that can be read.") from exc
    return of_kind(document, dict, "The body of this request")


def refuse_constant(name: str) -> None:
    """NaN and the infinities, which Python would read, are no JSON."""
    raise ValueError(name)


def member(holder: Object, name: str, kind: type[T]) -> T | None:
    """One of an object's members, None where it is missing or null. Raises Misunderstood for one of another kind."""
    value = holder.get(name)
    return None if value is None else of_kind(value, kind, f'"{name}"')


def needed(holder: Object, name: str, kind: type[T]) -> T:
    """As `member`, but it has to be there."""
    return of_kind(holder.get(name), kind, f'"{name}"')


def of_kind(value: Any, kind: type[T], what: str) -> T:
    """The value, if it is of this kind; 3.0 is a whole number, too, as JSON knows but one sort."""
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Misunderstood(f"{what} has to be {KINDS[kind]}.")
    return value


def positive(holder: Object, name: str) -> int | None:
    """A whole number from 1 on, None where it is missing. Raises Misunderstood."""
    value = member(holder, name, int)
    if value is not None and value < 1:
        raise Misunderstood(f'"{name}" has to be at least 1.')
    return value
