"""Every setting in one table: name, default, one line of help. Read from the environment, once."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self

from limits import parse_many

from classifier.errors import StartupError

PREFIX = "CLASSIFIER_"
ROOT = Path(__file__).resolve().parents[1]

log = logging.getLogger(__name__)


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
    def parse(text: str) -> int | float:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError
        return value

    parse.__doc__ = f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}"
    return parse


def choice(*options: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError
        return text

    parse.__doc__ = " or ".join(options)
    return parse


def text(value: str) -> str:
    """some text"""
    return value


def path(value: str) -> Path:
    """a path"""
    return Path(value).absolute()


def place(value: str) -> Path | str:
    """a folder, or an address such as s3://bucket/prefix"""
    return value if "://" in value else path(value)


def listed(value: str) -> tuple[str, ...]:
    """names with commas between them"""
    return tuple(name for part in value.split(",") if (name := part.strip()))


def networks(value: str) -> tuple[str, ...]:
    """addresses or networks with commas between them"""
    for name in listed(value):
        ip_network(name)
    return listed(value)


def rate(value: str) -> str:
    """a rate, such as 60/minute or 5/second"""
    parse_many(value)
    return value


def span(value: str) -> tuple[int, int]:
    """a whole number from 1, such as 2, or from one to another, such as 1-8"""
    low, _, high = value.partition("-")
    few, many = int(low), int(high or low)
    if not 1 <= few <= many:
        raise ValueError
    return few, many


def setting(default: Any, parse: Callable[[str], Any], help: str, shown: str | None = None) -> Any:
    """A row of the table; `shown` is the default as the README writes it."""
    return field(default=default, metadata={"parse": parse, "help": help, "shown": shown or str(default)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is `CLASSIFIER_<NAME>` in the environment; an empty variable counts as unset."""

    model: str = setting("vgg16", text, "a keras.applications model: `vgg16`, `mobilenet_v2`, ..., or a model folder")
    weights: str = setting(
        "imagenet", text, "`imagenet` (downloaded once), a weights file, or `random` (answers mean nothing)"
    )
    labels: Path | None = setting(None, path, "a class-index JSON file; unset: the one Keras caches", shown="unset")
    precision: Literal["float32", "bfloat16", "float16", "auto"] = setting(
        "float32",
        choice("float32", "bfloat16", "float16", "auto"),
        "what the model computes in; `auto`: float16 on a GPU, else float32",
    )
    resize: Literal["crop", "stretch"] = setting(
        "crop", choice("crop", "stretch"), "`crop`: the centre, bicubic; `stretch`: as Keras' `load_img`, nearest"
    )
    top: int = setting(5, number(int, 1, 1000), "how many classes an answer lists")
    threshold: float | None = setting(
        None,
        number(float, 0, 1),
        'under this probability the answer is "not sure"; unset: the model folder\'s own',
        "unset",
    )
    fallback: Path | None = setting(
        None, path, "a model folder, made if need be, that answers when weights cannot be downloaded", "unset"
    )
    notice: str = setting("", text, "a line on top of every page", shown="unset")
    max_upload_mb: int = setting(20, number(int, 1, 1024), "how large one request may be, in MiB")
    max_files: int = setting(16, number(int, 1, 1000), "how many photos one request may hold")
    max_megapixels: float = setting(50, number(float, 0.1, 1000), "how many pixels a photo may have, in millions")
    max_batch: int = setting(32, number(int, 1, 1024), "most photos the model is given at once (on a CPU 16)")
    max_wait_ms: float = setting(100, number(float, 0, 1000), "how long a photo waits for others on their way, at most")
    max_waiting: int = setting(256, number(int, 1, 100_000), "how many photos may wait; beyond, 503 at once")
    timeout_s: float = setting(30, number(float, 0.1, 3600), "the deadline of one answer, in seconds")
    uploads: Path | str = setting(
        ROOT / "uploads",
        place,
        "where answered photos are kept: a folder, or what several machines share, `s3://bucket/prefix`",
        shown="uploads",
    )
    keep_hours: float = setting(24, number(float, 0, 1e6), "how long they are kept; `0` writes nothing")
    keep_mb: int = setting(1024, number(int, 1, 10**9), "how much is kept, in MiB; the oldest go first")
    proxies: int = setting(0, number(int, 0, 10), "how many reverse proxies stand before the site and are trusted")
    trusted_hosts: tuple[str, ...] = setting(
        (), listed, "the host names that the site answers to, `.example.org` with all below it; unset: any", "unset"
    )
    rate: str = setting("", rate, "how often one client may ask for an answer: `60/minute`; unset: any", shown="unset")
    rate_storage: str = setting(
        "memory://", text, "where asking is counted: in each process, or `redis://...` for all", shown="memory://"
    )
    token: str = setting("", text, "a secret that every request has to bring along; unset: none", shown="unset")
    metrics_from: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1"), networks, "who may read `/metrics` without the token", "127.0.0.0/8,::1"
    )
    engine: Literal["local", "ray"] = setting(
        "local",
        choice("local", "ray"),
        "where the model runs: `local`, in this process; `ray`, on Ray Serve, at `RAY_ADDRESS` if that is set",
    )
    replicas: tuple[int, int] = setting(
        (1, 1), span, "how many copies of the model `ray` runs: `2`, or `1-8` as the load wants", "1"
    )
    log_names: int = setting(0, number(int, 0, 1), "`1`: the log has the names of the sent files")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; an unknown name is warned about.

        Raises StartupError for a value that does not parse.
        """
        names = {PREFIX + row.name.upper(): row for row in fields(cls)}
        for name in environ.keys() - names.keys():
            if name.startswith(PREFIX):
                log.warning("%s is no setting%s; it is ignored.", name, suggestion(name, names))
        given = {
            row.name: parsed(name, row.metadata["parse"], environ[name])
            for name, row in names.items()
            if environ.get(name)
        }
        return cls(**given)


def parsed(name: str, parse: Callable[[str], Any], value: str) -> Any:
    try:
        return parse(value)
    except ValueError as exc:
        raise StartupError(f"{name} must be {parse.__doc__}, not {value!r}.") from exc


def suggestion(name: str, names: Mapping[str, Any]) -> str:
    close = get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
