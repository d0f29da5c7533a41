"""A model folder: `model.keras`, the network with its preprocessing, and `model.json`, all that serving must know.

Written whole or not at all, and checked when it is read.
"""

import csv
import hashlib
import json
import platform
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras

from classifier import atomic
from classifier.contract import Resize
from classifier.errors import StartupError
from classifier.photos.limits import MAX_SIDE
from classifier.text import one_line

NETWORK, CARD = "model.keras", "model.json"
SPLIT, EXAMPLES = "split.csv", "examples"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What `model.json` says. `size` is (height, width); `threshold` is the probability under which it is not sure."""

    labels: list[str]
    size: tuple[int, int]
    color_mode: Literal["rgb", "grayscale"] = "rgb"
    resize: Resize = "crop"
    threshold: float = 0.0
    sha256: str = ""  # of model.keras
    training: dict[str, Any] = field(default_factory=dict)  # recipe, options, data; for people
    metrics: dict[str, Any] = field(default_factory=dict)  # on the test photos
    versions: dict[str, str] = field(default_factory=dict)


def write(folder: Path, network: keras.Model, card: ModelCard) -> None:
    """Put a network, uint8 (n, h, w, 3) -> probabilities (n, classes), and its card into an existing folder."""
    network.save(folder / NETWORK)
    versions = {"python": platform.python_version(), "keras": keras.__version__, "backend": keras.backend.backend()}
    document = asdict(card) | {"sha256": digest(folder / NETWORK), "versions": versions}
    (folder / CARD).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(folder: Path) -> tuple[keras.Model, ModelCard]:
    """The network and the card of a model folder.

    Raises StartupError, in one sentence, for a folder that lacks a file or has one that was changed or does not fit.
    """
    card = read_card(folder)
    path = folder / NETWORK
    try:
        intact = digest(path) == card.sha256
    except OSError as exc:
        raise unusable(folder, f"it has no readable {NETWORK}") from exc
    if not intact:
        raise unusable(folder, f"{NETWORK} is not the file that was written with {CARD}: it was changed or cut short")
    network = load_network(path)
    if network.input_shape[1:] != (*card.size, 3) or network.output_shape != (None, len(card.labels)):
        raise unusable(
            folder, f"{CARD} has {len(card.labels)} labels for {card.size[0]} x {card.size[1]} pixels, and the network "
            f"gives {network.output_shape[-1]} for an input of {network.input_shape[1:]}",
        )  # fmt: skip
    return network, card


def load_network(path: Path) -> keras.Model:
    """A whole saved model, not allowed to run code of its own (Keras' safe mode). Raises StartupError."""
    if not path.is_file():
        raise StartupError(f"The model {path} is no file; expected a whole saved model, .keras or .h5.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as exc:  # Keras raises ValueError, TypeError, KeyError, OSError, ... by format and fault
        if "safe_mode" in str(exc).replace(str(path), ""):
            raise StartupError(
                f"The model {path} is refused: it holds Python code of its own, such as a Lambda layer."
            ) from exc
        raise StartupError(f"The model {path} cannot be read by Keras {keras.__version__} ({innermost(exc)}).") from exc


def innermost(exc: Exception) -> str:
    """The first sentence of what was wrong at first: Keras quotes a fault in one that quotes it, and so on."""
    return one_line(ValueError(str(exc).rpartition("Exception encountered: ")[2].partition(". ")[0]))[:200]


def read_card(folder: Path) -> ModelCard:
    """`model.json`, checked. Raises StartupError."""
    try:
        document = json.loads((folder / CARD).read_text("utf-8"))
        card = ModelCard(**{**document, "size": tuple(document["size"])})
        check(card)
    except OSError as exc:
        raise unusable(folder, f"it has no readable {CARD}") from exc
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise unusable(folder, f"its {CARD} is damaged ({one_line(exc)})") from exc
    return card


def check(card: ModelCard) -> None:
    """Raises ValueError or TypeError for what no folder of ours would say."""
    if not isinstance(card.labels, list) or len(card.labels) < 2 or not all(map(is_name, card.labels)):
        raise ValueError("expected at least two labels, each a name")
    if len(card.size) != 2 or not all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in card.size):
        raise ValueError("expected a size of height and width in pixels")
    if card.resize not in ("crop", "stretch") or not 0 <= card.threshold <= 1:
        raise ValueError("expected resize to be crop or stretch, and threshold to be from 0 to 1")
    if not isinstance(card.training, dict) or not isinstance(card.metrics, dict):
        raise ValueError("expected training and metrics to be objects")


def is_name(label: object) -> bool:
    return isinstance(label, str) and bool(label.strip()) and label.isprintable()


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


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unusable(folder: Path, reason: str) -> StartupError:
    return StartupError(f"The model folder {folder} cannot be used: {reason}.")


def is_free(folder: Path) -> bool:
    """Whether nothing is lost when this is replaced: there is nothing, an empty folder, or a model folder."""
    if not folder.is_dir():
        return not folder.exists()
    return all((folder / name).is_file() for name in (CARD, NETWORK)) or not any(folder.iterdir())


def replaced(folder: Path) -> AbstractContextManager[Path]:
    """A new model folder to fill, which takes the place of `folder` as a whole. Raises StartupError."""
    return atomic.replaced(folder, is_free)
