"""Text from people's files, and for people: names, percentages, quantities and errors, each on one clean line."""


def one_line(exc: BaseException) -> str:
    """Return the first line of an exception's message, or its type if it has none."""
    return next(iter(str(exc).splitlines()), type(exc).__name__)


def decoded(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 that begins with a byte order mark. Raises UnicodeDecodeError."""
    return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")


def printable(text: str, replacement: str = "?") -> str:
    """Return `text` on one line that is safe to show, with `replacement` for each character that is not printable.

    File names and visitors' input can hold control sequences for a terminal, line breaks, or bytes that are not UTF-8.
    """
    return "".join(char if char.isprintable() else replacement for char in text)


def is_class_name(name: object) -> bool:
    """Return True for a string that can be shown as the name of a class: not blank, and printable."""
    return isinstance(name, str) and bool(name.strip()) and name.isprintable()


def percent(share: float, decimals: int = 1) -> str:
    """Return a share from 0 to 1 as a percentage: "47.3%"."""
    return f"{100 * share:.{decimals}f}%"


def quantity(number: int, noun: str) -> str:
    """Return a number with its noun, singular or plural: "1 photo", "1,024 photos", "2 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
