"""The file of class names that comes with somebody's model, in the forms in which people keep one.

A text file holds a name per line, with or without its number, or all names on one line, separated by commas; a CSV file
has a column of names. JSON is a list of names, or an object from name to number (Keras' `class_indices`), from number
to name (Hugging Face's `id2label`) or to a WordNet id and a name (Keras' class index), alone or under the usual key.
"""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier.errors import StartupError
from classifier.text import decoded, is_class_name, one_line

KEYS = ("id2label", "labels", "names", "classes", "class_names", "class_indices", "label2id")  # of an object around it
NUMBERED = re.compile(r"(\d+)(?:\s*[:,;\t]\s*|\s+|[.)]\s+)(\S.*)")  # "0 cat", "0: cat", "0,cat", "0. cat"
HEADER = re.compile(r"labels?|names?|class(es)?|class_?names?|category", re.IGNORECASE)
EXPECTED = 'expected a name per line, or JSON like ["cat", "dog"], {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}'


def read(path: Path) -> list[str]:
    """Return the names in the order of the outputs, at least two. Raises StartupError."""
    try:
        names = parsed(path.suffix.lower(), text_of(path.read_bytes()))
    except OSError as exc:
        raise StartupError(f"The labels {path} cannot be read ({exc.strerror or one_line(exc)}).") from exc
    except (ValueError, RecursionError, csv.Error) as exc:
        raise StartupError(f"The labels {path} cannot be used: {EXPECTED}, found {fault(exc)}.") from exc
    if len(names) < 2:
        raise StartupError(f"The labels {path} cannot be used: expected at least two names, found {len(names)}.")
    for name in names:
        if not is_class_name(name):
            raise StartupError(f"The labels {path} cannot be used: {name!r:.80} has characters that cannot be shown.")
    return names


def fault(exc: Exception) -> str:
    """Return a few words about what is wrong with a file."""
    match exc:
        case UnicodeDecodeError():
            return "text in an unknown encoding (please save the file as UTF-8)"
        case json.JSONDecodeError():
            return f"no valid JSON at line {exc.lineno}, column {exc.colno}"
        case RecursionError():
            return "JSON that is nested too deeply"
    return one_line(exc)


def text_of(data: bytes) -> str:
    """Decode UTF-8 or UTF-16, with or without a byte order mark. Raises UnicodeDecodeError."""
    if b"\0" in data[:2]:  # half of the bytes of UTF-16 are zeros in most scripts
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    return decoded(data)


def parsed(suffix: str, text: str) -> list[str]:
    """Return the names in the text of a file with this suffix. Raises ValueError."""
    if suffix == ".json" or text.lstrip()[:1] in ("{", "["):
        return from_json(json.loads(text))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if suffix in (".csv", ".tsv") and lines:
        delimiter = next((mark for mark in ";\t" if mark in lines[0]), ",")
        return from_rows([[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)])
    return from_lines(lines)


def from_lines(lines: list[str]) -> list[str]:
    if len(lines) == 1:
        return [name.strip() for name in lines[0].split(",") if name.strip()]
    pairs = [NUMBERED.fullmatch(line) for line in lines]
    if not all(pairs):
        return lines
    return ordered([(pair[1], pair[2]) for pair in pairs if pair]) or lines


def from_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names in the rows of a table, which may have a header, and a column of numbers."""
    if len(rows) < 2:
        return [cell for row in rows for cell in row]
    header, columns = has_header(rows), list(zip(*rows[has_header(rows) :], strict=False))
    number = next((column for column in columns if is_numbering(column)), None) if len(columns) > 1 else None
    titles = rows[0] if header else [""] * len(columns)
    named = [(HEADER.fullmatch(title) is None, column) for title, column in zip(titles, columns, strict=False)]
    names = min((entry for entry in named if entry[1] is not number), key=lambda entry: entry[0])[1]
    return (ordered(list(zip(number, names, strict=True))) if number else None) or list(names)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row holds titles, by their words or because only the others are numbered."""
    is_titled = any(map(HEADER.fullmatch, rows[0]))
    return is_titled or (
        any(map(is_numbering, zip(*rows[1:], strict=False))) and not any(map(is_numbering, zip(*rows, strict=False)))
    )


def from_json(document: Any) -> list[str]:
    """Return the names in a JSON document. Raises ValueError."""
    match document:
        case list():
            return [name_of(entry) for entry in document]
        case {**entries} if key := next((key for key in KEYS if isinstance(entries.get(key), dict | list)), None):
            return from_json(entries[key])
        case {**entries} if entries and all(is_number(value) for value in entries.values()):
            return numbered([(str(value), str(name)) for name, value in entries.items()])
        case {**entries} if entries:
            return numbered([(str(number), name_of(entry)) for number, entry in entries.items()])
    raise ValueError("JSON of another form")


def name_of(entry: object) -> str:
    """Return the name in an entry, which is the name or a pair of a WordNet id and the name. Raises ValueError."""
    match entry:
        case str(name) | [str(), str(name)] | {"name": str(name)}:
            return name
    raise ValueError(f"the entry {entry!r:.80}")


def numbered(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names in the order of their numbers. Raises ValueError for a gap."""
    names = ordered(pairs)
    if names is None:
        raise ValueError("numbers that do not run from 0 without a gap")
    return names


def ordered(pairs: Sequence[tuple[str, str]]) -> list[str] | None:
    """Return the names in the order of their numbers, or None unless these run from 0 or 1 without a gap."""
    if not is_numbering([number for number, _ in pairs]):
        return None
    return [name for _, name in sorted(pairs, key=lambda pair: int(pair[0]))]


def is_numbering(cells: Sequence[str]) -> bool:
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 9 for cell in cells):
        return False
    numbers = sorted(map(int, cells))
    return numbers in (list(range(len(cells))), list(range(1, len(cells) + 1)))


def is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
