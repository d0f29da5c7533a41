"""What a folder of photos holds and what is wrong with it, before an hour of training goes into it. Only reads."""

import hashlib
import io
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Column, Table

from classifier.dataset.duplicates import Group, difference_hash, grouped, linked, without_duplicates
from classifier.dataset.reading import Dataset, Photo, find
from classifier.dataset.split import PARTS
from classifier.errors import ClassifierError
from classifier.photos import decode
from classifier.photos.files import content, in_threads
from classifier.text import printable

SIZE = (64, 64)  # enough for the hash; a large JPEG is decoded at a reduced scale
TINY, IMBALANCE = 10, 5  # photos of a class; times as many photos in the largest class as in the smallest
EXAMPLES, MEMBERS = 10, 4  # shown of a finding, and of a group of copies
WHERE = {  # by whether a group crosses classes, and whether it crosses parts
    (True, True): "in two or more classes and parts, where only one can be right",
    (True, False): "in two or more classes, where only one can be right",
    (False, True): "in two or more parts, so that the test is easier than it should be",
    (False, False): "more than once in a class",
}


class FileCheck(NamedTuple):
    """What is remembered of a file: SHA-256, format and 256 bits of difference hash, or why it cannot be read."""

    photo: Photo
    digest: str = ""
    format: str = ""
    hash: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class DatasetCheck:
    """What was found in `folder`; `same` and `similar` are groups of photos, by their bytes and by their look."""

    folder: Path
    classes: list[str]
    photos: list[Photo]  # every file
    parts: list[str]  # those of train, validation and test that the folders give, train always; or none
    readable: list[FileCheck]
    unreadable: list[FileCheck]
    same: list[Group]
    similar: list[Group]
    usable: list[Photo]  # what training would keep


def inspect(folder: Path) -> DatasetCheck:
    """Read every file once, as training would. Raises DataError when `folder` has no two classes."""
    classes, files = find(folder)
    given = {photo.part for photo in files} - {None}
    parts = [part for part in PARTS if given and part in given | {"train"}]
    looks = in_threads(look_at, files, "Checking photos")
    readable, unreadable = ([look for look in looks if bool(look.error) == failed] for failed in (False, True))
    photos, digests = [look.photo for look in readable], [look.digest for look in readable]
    hashes = np.frombuffer(b"".join(look.hash for look in readable), np.uint64).reshape(-1, 4)
    same = dict.fromkeys(grouped(photos, digests))
    similar = [group for group in grouped(photos, linked(hashes).tolist()) if group not in same]
    rows, pixels = np.arange(len(photos)), np.empty((0, *SIZE, 3), np.uint8)  # nobody looks at these
    usable = without_duplicates(Dataset(folder, classes, photos, digests, [], rows, pixels)).photos
    return DatasetCheck(folder, classes, files, parts, readable, unreadable, [*same], similar, usable)


def look_at(photo: Photo) -> FileCheck:
    try:
        data = content(photo.path)
        image = decode.read(data, SIZE)
    except ClassifierError as error:
        return FileCheck(photo, error=str(error))
    format = str(image.format).replace("MPO", "JPEG")  # a JPEG with more pictures behind the first
    return FileCheck(photo, hashlib.sha256(data).hexdigest(), format, difference_hash(image))


def problems(inspection: DatasetCheck) -> list[str]:
    """Sentences that say why training would fail; none if it would not."""
    counts = Counter((photo.label, photo.part or "train") for photo in inspection.usable)
    parts, found = inspection.parts or ["train"], []
    for part, needed in (dict.fromkeys(parts, 1) | {"train": 4 - len(parts)}).items():  # what is not given is drawn
        sizes = ((printable(name), counts[label, part]) for label, name in enumerate(inspection.classes))
        few = [f"{name} ({size})" for name, size in sizes if size < needed]
        where = f"in {part}" if inspection.parts else "to divide into train, validation and test"
        found += [f"Every class needs {needed} or more usable photos {where}; too few: {shorten(few)}."] if few else []
    return found


def warnings(inspection: DatasetCheck) -> list[str]:
    """Sentences, each with its first examples on lines of their own, about what training can live with."""
    folder, extensions = inspection.folder, Image.registered_extensions() | {".mpo": "JPEG"}
    unreadable = [f"{shown(look.photo, folder)}: {look.error}" for look in inspection.unreadable]
    others = [look for look in inspection.readable if extensions.get(look.photo.path.suffix.lower()) != look.format]
    mislabelled = [f"{shown(look.photo, folder)}: {look.format}" for look in others]
    return [
        *finding("Training leaves out what cannot be read", "file", unreadable),
        *finding("The content is of another format than the name says, which does no harm", "file", mislabelled),
        *about_copies(folder, "The same file, which training uses at most once, is", inspection.same),
        *about_copies(folder, "Nearly the same photo is", inspection.similar),
        *about_sizes(inspection.classes, Counter(look.photo.label for look in inspection.readable)),
    ]


def about_copies(folder: Path, what: str, groups: Iterable[Group]) -> list[str]:
    found = defaultdict(list)
    for group in groups:
        crosses = len({photo.label for photo in group}) > 1, len({photo.part for photo in group}) > 1
        found[crosses].append(shorten([shown(photo, folder) for photo in group], MEMBERS, " = "))
    return [text for key, where in WHERE.items() for text in finding(f"{what} {where}", "photo", found[key])]


def about_sizes(classes: Sequence[str], counts: Counter[int]) -> list[str]:
    sizes = [(counts[label], printable(name)) for label, name in enumerate(classes)]
    (least, smallest), (most, largest) = min(sizes), max(sizes)
    tiny = [f"{name}: {size}" for size, name in sizes if size < TINY]
    uneven = (
        f"There are {most:,} readable photos of {largest}, {least:,} of {smallest}; the model will favour the many."
    )
    found = finding(f"Fewer than {TINY} readable photos are little to learn a class from", "class", tiny)
    return [*found, uneven] if most > IMBALANCE * least else found


def as_text(inspection: DatasetCheck) -> str:
    """A table of the classes, then what is wrong; as wide as the terminal, or 100 characters where there is none."""
    buffer = io.StringIO()
    width = shutil.get_terminal_size((100, 0)).columns
    Console(file=buffer, width=width, markup=False, emoji=False, highlight=False).print(as_table(inspection))
    failing = [f"Training would fail: {problem}" for problem in problems(inspection)]
    texts = [*failing, *warnings(inspection)] or ["Nothing is amiss."]
    return "\n".join([*map(str.rstrip, buffer.getvalue().splitlines()), *texts])


def as_table(inspection: DatasetCheck) -> Table:
    parts = inspection.parts or ["photos"]
    readable = Counter((look.photo.label, look.photo.part or "photos") for look in inspection.readable)
    unreadable = Counter(look.photo.label for look in inspection.unreadable)
    columns = [Column(heading, justify="right") for heading in [*parts, "unreadable"]]
    table = Table(Column("class", overflow="fold"), *columns, box=box.SIMPLE_HEAD)
    for label, name in enumerate(inspection.classes):
        table.add_row(printable(name), *(str(readable[label, part]) for part in parts), str(unreadable[label]))
    return table


def finding(statement: str, noun: str, examples: Sequence[str]) -> list[str]:
    plural = "" if len(examples) == 1 else "es" if noun.endswith("s") else "s"
    first = shorten(examples, EXAMPLES, "\n  ")
    return [f"{statement}: {len(examples):,} {noun}{plural}.\n  {first}"] if examples else []


def shorten(names: Sequence[str], number: int = EXAMPLES, separator: str = ", ") -> str:
    return separator.join([*names[:number], *[f"... and {len(names) - number:,} more"][: len(names) > number]])


def shown(photo: Photo, folder: Path) -> str:
    return printable(str(photo.path.relative_to(folder)))
