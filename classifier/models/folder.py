"""The model folder: `model.keras`, a network with its preprocessing, and `model.json`, the rest that serving must know.

It is written whole or not at all, and checked when it is read. Trained models also hold the split of their photos
(`split.csv`), examples and a report. A compiled folder holds `model.xml` and `model.bin` in place of `model.keras`.

Importing this loads no Keras, so that compiled folders are served without it.
"""

import csv
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from classifier import atomic
from classifier.contract import Label, Resize
from classifier.errors import StartupError
from classifier.photos.limits import MAX_SIDE
from classifier.terms import Term, Terms
from classifier.text import is_class_name, one_line, printable

if TYPE_CHECKING:
    import keras

NETWORK, CARD = "model.keras", "model.json"
OWN = "own"  # the weights of a model that has a folder
GRAPH, CONSTANTS = "model.xml", "model.bin"  # of a compiled network
SPLIT, EXAMPLES = "split.csv", "examples"


def class_name(name: str) -> str:
    """Return `name`. Raises ValueError unless it can be shown as the name of a class."""
    if not is_class_name(name):
        raise ValueError("not a name that can be shown")
    return name


ClassName = Annotated[str, AfterValidator(class_name)]
Labels = Annotated[list[ClassName], Field(min_length=2)]
Side = Annotated[int, Field(strict=True, gt=0, le=MAX_SIDE)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Digest = Annotated[str, Field(coerce_numbers_to_str=True)]  # a number is wrong as any other digest is

EXPECTED = {
    "labels": "at least two labels, each a name",
    "wnids": "wnids to be texts",
    "size": "a size of height and width in pixels",
    "color_mode": "color_mode to be rgb or grayscale",
    "resize": "resize to be crop or stretch",
    "threshold": "threshold to be from 0 to 1",
    "groups": "groups to be an object of lists of labels",
    "sha256": "sha256 to be a text",
    "training": "training and metrics to be objects",
    "metrics": "training and metrics to be objects",
    "versions": "versions to be an object of texts",
    "compiled": "compiled to be an object with the precision, the source and its weights",
}

CompiledPrecision = Literal["int8", "bfloat16", "float32"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Compilation:
    """How a compiled network was made, and how it compares with the model that it was made from."""

    precision: CompiledPrecision
    source: str  # the name of that model or of its folder
    weights: str  # imagenet, random, the name of a file, or own for those of a model folder
    comparison: dict[str, Any] = field(default_factory=dict)  # for people


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ModelCard:
    """The content of `model.json`. Raises pydantic.ValidationError for values that do not fit."""

    labels: Labels  # in the order of the outputs
    wnids: list[str] = field(default_factory=list)  # of the labels, if they have WordNet IDs
    size: tuple[Side, Side]  # (height, width)
    color_mode: Literal["rgb", "grayscale"] = "rgb"
    resize: Resize = "crop"
    threshold: Share = 0.0  # an answer with a lower probability is "not sure"
    groups: dict[ClassName, list[str]] = field(default_factory=dict)  # of labels: a broader term for each
    sha256: Digest = ""  # of model.keras, or of model.xml and model.bin
    training: dict[str, Any] = field(default_factory=dict)  # recipe, options, data; for people
    metrics: dict[str, Any] = field(default_factory=dict)  # on the test photos
    versions: dict[str, str] = field(default_factory=dict)
    compiled: Compilation | None = None

    @model_validator(mode="after")
    def have_an_id_each(self) -> Self:
        if self.wnids and len(self.wnids) != len(self.labels):
            raise ValueError(f"expected a WordNet ID for each of {len(self.labels)} labels, found {len(self.wnids)}")
        return self

    @property
    def class_labels(self) -> list[Label]:
        return [Label(*pair) for pair in zip(self.wnids or [""] * len(self.labels), self.labels, strict=True)]


def terms_of(card: ModelCard) -> Terms:
    """Return the groups of at least two labels as broader terms."""
    classes = {
        name: tuple(i for i, label in enumerate(card.labels) if label in group) for name, group in card.groups.items()
    }
    return Terms(tuple(Term("", name, indices) for name, indices in classes.items() if len(indices) > 1))


def is_folder(name: str) -> bool:
    """Return True if a model's name is the path of a model folder."""
    return os.sep in name or Path(name).is_dir()


def is_compiled(folder: Path) -> bool:
    """Return True for the folder of a compiled network."""
    return (folder / GRAPH).exists()


def write(folder: Path, network: "keras.Model", card: ModelCard) -> None:
    """Write a network, uint8 (n, h, w, 3) -> probabilities (n, classes), and its card into an existing folder."""
    import keras

    network.save(folder / NETWORK)
    write_card(folder, card, {"keras": keras.__version__, "backend": keras.backend.backend()})


def write_card(folder: Path, card: ModelCard, versions: dict[str, str]) -> None:
    """Write the card of the network that a folder holds; `versions` are those of what wrote the network."""
    facts = {"sha256": network_digest(folder), "versions": {"python": platform.python_version(), **versions}}
    document = {name: value for name, value in (asdict(card) | facts).items() if value is not None}
    (folder / CARD).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(folder: Path) -> tuple["keras.Model", ModelCard]:
    """Read the network and the card of a model folder.

    Raises StartupError for a folder that lacks a file, or holds one that was changed or does not fit the other.
    """
    card = read_card(folder)
    check_digest(folder, card)
    network = load_network(folder, printable(card.versions.get("keras", "of an unknown version")))
    if network.input_shape[1:] != (*card.size, 3) or network.output_shape != (None, len(card.labels)):
        height, width = card.size
        raise unusable(
            folder,
            f"{CARD} has {len(card.labels)} labels for {height} x {width} pixels, and the network "
            f"gives {network.output_shape[-1]} for an input of {network.input_shape[1:]}",
        )
    return network, card


def read_card(folder: Path) -> ModelCard:
    """Read and check `model.json`. Raises StartupError."""
    try:
        return TypeAdapter(ModelCard).validate_json((folder / CARD).read_bytes())
    except OSError as exc:
        raise unusable(folder, f"it has no readable {CARD}") from exc
    except ValidationError as exc:
        raise unusable(folder, f"its {CARD} is damaged ({fault(exc)})") from exc


def fault(error: ValidationError) -> str:
    """Describe the first fault of a card: "expected threshold to be from 0 to 1, found 7"."""
    first = error.errors(include_url=False)[0]
    match first:
        case {"loc": [str(name)], "type": "missing"}:
            return f"expected {EXPECTED[name]}, found none"
        case {"loc": [str(name), *_]} if name in EXPECTED:
            return f"expected {EXPECTED[name]}, found {first['input']!r:.80}"
    return printable(": ".join([*map(str, first["loc"]), first["msg"]]))


def check_digest(folder: Path, card: ModelCard) -> None:
    """Raise StartupError unless a folder's network is the one that the card was written with."""
    names = network_files(folder)
    try:
        is_intact = network_digest(folder) == card.sha256
    except OSError as exc:
        raise unusable(folder, f"it has no readable {' or '.join(names)}") from exc
    if not is_intact:
        raise unusable(
            folder, f"{' or '.join(names)} is not the file that was written with {CARD}: it was changed or cut short"
        )


def network_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files that hold a folder's network."""
    return (GRAPH, CONSTANTS) if is_compiled(folder) else (NETWORK,)


def network_digest(folder: Path) -> str:
    """Return the digest of a folder's network. Raises OSError."""
    return digest(*(folder / name for name in network_files(folder)))


def digest(*paths: Path) -> str:
    """Return the SHA-256 of files, one after the other. Raises OSError."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: found)
    return found.hexdigest()


def load_network(folder: Path, written_by: str) -> "keras.Model":
    """Load the network of a folder, which may not run code of its own (Keras' safe mode). Raises StartupError."""
    import keras

    from classifier.models import weights  # noqa: F401  # registers `classifier>Unset`, which networks refer to

    try:
        return keras.saving.load_model(folder / NETWORK, compile=False, safe_mode=True)
    except Exception as exc:  # Keras raises ValueError, TypeError, KeyError, OSError, ... by format and fault
        if "safe_mode" in str(exc).replace(str(folder), ""):
            raise unusable(folder, f"{NETWORK} holds Python code of its own, such as a Lambda layer") from exc
        raise unusable(
            folder,
            f"Keras {keras.__version__} cannot read {NETWORK}, which Keras {written_by} wrote; please train or import "
            "the model again, or install that version",
        ) from exc


class SplitRow(NamedTuple):
    """What one photo was used for: its path below the data folder, class, part, and the SHA-256 of its content."""

    path: str
    label: str
    part: str
    sha256: str


def write_split(folder: Path, rows: Iterable[SplitRow]) -> None:
    with (folder / SPLIT).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "part", "sha256"])
        writer.writerows(rows)


def read_split(folder: Path) -> dict[str, str]:
    """Return every photo's part by the SHA-256 of its content, or nothing if there is no split. Raises StartupError."""
    path = folder / SPLIT
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            return {row["sha256"]: row["part"] for row in csv.DictReader(file)}
        except (KeyError, csv.Error) as exc:
            raise unusable(folder, f"its {SPLIT} is damaged ({one_line(exc)})") from exc


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new model folder to fill, which then takes the place of `folder`; after an error it is removed.

    Raises StartupError if `folder` exists and is not a model folder, or cannot be written.
    """
    folder = folder.resolve()  # `.` has no name, and a link must stay one
    try:
        if not is_free(folder):
            raise StartupError(
                f"{folder} exists and is not a model folder; it is left alone. Please choose another output."
            )
        with atomic.replacing(folder) as part:
            yield part
    except OSError as exc:
        raise StartupError(f"The model folder {folder} cannot be written ({one_line(exc)}).") from exc


def is_free(folder: Path) -> bool:
    """Return True if `folder` may be replaced without losing data: there is nothing, an empty folder or a model."""
    if not folder.is_dir():
        return not folder.exists()
    names = (CARD, *network_files(folder))
    return all((folder / name).is_file() for name in names) or not any(folder.iterdir())


def unusable(folder: Path, reason: str) -> StartupError:
    return StartupError(f"The model folder {folder} cannot be used: {reason}.")
