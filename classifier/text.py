"""Text for people: file names, percentages and errors as one clean line."""


def one_line(exc: BaseException) -> str:
    """The first line of what an exception says, so that a message stays one line."""
    return next(iter(str(exc).splitlines()), type(exc).__name__)


def printable(name: str) -> str:
    """A file's name may hold anything, even what drives a terminal or cannot be written as UTF-8."""
    return "".join(c if c.isprintable() else "?" for c in name)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
