"""Check what a folder of photos contains and what is wrong with it, before time is spent on training. Only reads."""

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

from classifier.dataset.duplicates import Group, grouped, without_duplicates
from classifier.dataset.groups import Groups, about_groups
from classifier.dataset.hashes import SIZE, difference_hash, near_copies
from classifier.dataset.layout import Photo, case_variants, find
from classifier.dataset.options import DEFAULTS, PARTS, SEED, TEST, VALIDATION, DataOptions
from classifier.dataset.reading import Dataset
from classifier.dataset.split import MORE_PHOTOS, split
from classifier.errors import ClassifierError, DataError
from classifier.photos import decode
from classifier.photos.files import Rejected, in_threads, read
from classifier.text import printable, quantity

TINY = 10  # photos; a smaller class is reported
IMBALANCE = 5  # times as many photos in the largest class as in the smallest; a larger ratio is reported
EXAMPLES, MEMBERS = 10, 4  # listed of a finding, and of a group of copies
TO_DIVIDE = "to divide into train, validation and test, near copies counted once"
SCOPES = {  # by whether a group of copies crosses classes, and whether it crosses parts
    (True, True): "in two or more classes and parts, where only one can be right",
    (True, False): "in two or more classes, where only one can be right",
    (False, True): "in two or more parts, so that the test is easier than it should be",
    (False, False): "more than once in a class",
}


class FileCheck(NamedTuple):
    """The SHA-256, format and 256-bit difference hash of a file, or the reason why it cannot be read."""

    photo: Photo
    digest: str = ""
    format: str = ""
    hash: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class DatasetCheck:
    """The photos in `folder`; `same` and `similar` are groups of copies, by their bytes and by what they look like."""

    folder: Path
    classes: list[str]
    photos: list[Photo]  # every file
    parts: list[str]  # of train, validation and test: those given by the folders, and always train; empty if undivided
    readable: list[FileCheck]
    unreadable: list[FileCheck]
    same: list[Group]
    similar: list[Group]
    usable: Dataset  # the photos that training would keep, without pixels
    passed_over: list[Rejected]  # files and folders that were not read
    groups: Groups


def inspect(folder: Path, options: DataOptions = DEFAULTS) -> DatasetCheck:
    """Read every file once, as training would. Raises DataError if `folder` has fewer than two classes."""
    layout = find(folder, options)
    classes, photos = layout.classes, layout.photos
    checks = in_threads(check_file, photos, "Checking photos")
    readable = [check for check in checks if not check.error]
    unreadable = [check for check in checks if check.error]
    same, similar = copies(readable)
    usable = usable_photos(folder, classes, readable)
    parts = given_parts(photos)
    return DatasetCheck(
        folder, classes, photos, parts, readable, unreadable, same, similar, usable, layout.passed_over, layout.groups
    )


def check_file(photo: Photo) -> FileCheck:
    try:
        data = read(photo.path)
        image = decode.read(data, SIZE)
    except ClassifierError as error:
        return FileCheck(photo, error=str(error))
    format = str(image.format).replace("MPO", "JPEG")  # a JPEG with more pictures behind the first
    return FileCheck(photo, hashlib.sha256(data).hexdigest(), format, difference_hash(image))


def given_parts(photos: Sequence[Photo]) -> list[str]:
    given = {photo.part for photo in photos} - {None}
    return [part for part in PARTS if given and part in given | {"train"}]


def copies(readable: Sequence[FileCheck]) -> tuple[list[Group], list[Group]]:
    """Return the groups of exact copies, and the groups of near copies that are not exact ones."""
    photos = [check.photo for check in readable]
    groups = near_copies(hashes_of(readable), [photo.path for photo in photos]).tolist()
    same = grouped(photos, [check.digest for check in readable])
    return same, [group for group in grouped(photos, groups) if group not in set(same)]


def hashes_of(readable: Sequence[FileCheck]) -> np.ndarray:
    return np.frombuffer(b"".join(check.hash for check in readable), np.uint64).reshape(-1, 4)


def usable_photos(folder: Path, classes: list[str], readable: Sequence[FileCheck]) -> Dataset:
    photos, digests = [check.photo for check in readable], [check.digest for check in readable]
    no_pixels = np.empty((0, *SIZE, 3), np.uint8)
    rows = np.arange(len(photos))
    return without_duplicates(Dataset(folder, classes, photos, digests, [], rows, no_pixels, hashes_of(readable)))


def problems(found: DatasetCheck) -> list[str]:
    """Return a sentence for every reason why training would fail; none if it would not."""
    photos = zip(found.usable.photos, found.usable.near_copies.tolist(), strict=True)
    drawn = {(photo.label, photo.part or "train", group) for photo, group in photos}
    counts = Counter((label, part) for label, part, _ in drawn)
    parts = found.parts or ["train"]
    needed = dict.fromkeys(parts, 1) | {"train": 4 - len(parts)}  # missing parts are drawn from train
    sentences = []
    for part, least in needed.items():
        sizes = ((printable(name), counts[label, part]) for label, name in enumerate(found.classes))
        if few := [f"{name} ({size})" for name, size in sizes if size < least]:
            where, advice = (f"in {part}", "") if found.parts else (TO_DIVIDE, f"; {MORE_PHOTOS}")
            sentences.append(
                f"Every class needs {least} or more usable photos {where}; too few: {shorten(few)}{advice}."
            )
    spans_classes = len({(label, group) for label, _, group in drawn}) > len({group for _, _, group in drawn})
    return sentences or (refusal(found.usable) if spans_classes else [])


def refusal(photos: Dataset) -> list[str]:
    """Return the sentence with which a split by the defaults fails; none if it succeeds."""
    try:
        split(photos, VALIDATION, TEST, SEED)
    except DataError as error:
        return [str(error)]
    return []


def warnings(found: DatasetCheck) -> list[str]:
    """Return a sentence for every finding that training can cope with, followed by lines with examples."""
    folder, extensions = found.folder, Image.registered_extensions() | {".mpo": "JPEG"}
    unreadable = [f"{shown(check.photo, folder)}: {check.error}" for check in found.unreadable]
    others = [check for check in found.readable if extensions.get(check.photo.path.suffix.lower()) != check.format]
    mislabelled = [f"{shown(check.photo, folder)}: {check.format}" for check in others]
    passed_over = [f"{printable(str(path.relative_to(folder)))}: {reason}" for path, reason in found.passed_over]
    return [
        *about_groups(found.groups),
        *finding("Passed over without reading it", "item", passed_over),
        *finding("Classes whose names differ in upper and lower case only", "group", case_variants(found.classes)),
        *finding("Training leaves out files that cannot be read", "file", unreadable),
        *finding("The content does not match the file extension, which does no harm", "file", mislabelled),
        *about_copies(folder, "The same file, which training uses at most once, is", found.same),
        *about_copies(folder, "Nearly the same photo is", found.similar),
        *about_split(found),
        *about_sizes(found.classes, Counter(check.photo.label for check in found.readable)),
    ]


def about_copies(folder: Path, statement: str, groups: Iterable[Group]) -> list[str]:
    examples = defaultdict(list)
    for group in groups:
        crosses = len({photo.label for photo in group}) > 1, len({photo.part for photo in group}) > 1
        examples[crosses].append(shorten([shown(photo, folder) for photo in group], MEMBERS, " = "))
    findings = (finding(f"{statement} {scope}", "photo", examples[key]) for key, scope in SCOPES.items())
    return [text for texts in findings for text in texts]


def about_split(found: DatasetCheck) -> list[str]:
    """Say what near copies would do to a split that is drawn photo by photo."""
    groups = [group for group in found.similar if len({photo.part for photo in group}) == 1]
    if not groups or len(found.parts) == len(PARTS):
        return []
    photos = quantity(sum(map(len, groups)), "photo")
    return [
        f"{photos} are near copies of another: on both sides of the split, they would make the test easier than it "
        "should be, so training keeps near copies in one part."
    ]


def about_sizes(classes: Sequence[str], counts: Counter[int]) -> list[str]:
    sizes = [(counts[label], printable(name)) for label, name in enumerate(classes)]
    tiny = [f"{name}: {size}" for size, name in sizes if size < TINY]
    found = finding(f"Fewer than {TINY} readable photos are little to learn a class from", "class", tiny)
    (least, smallest), (most, largest) = min(sizes), max(sizes)
    if most > IMBALANCE * least:
        found.append(
            f"There are {most:,} readable photos of {largest}, {least:,} of {smallest}; "
            "the model will favour the larger classes."
        )
    return found


def as_text(found: DatasetCheck) -> str:
    """Return a table of the classes and then what is wrong, as wide as the terminal, or 100 characters without one."""
    buffer = io.StringIO()
    width = shutil.get_terminal_size((100, 0)).columns
    Console(file=buffer, width=width, markup=False, emoji=False, highlight=False).print(as_table(found))
    failing = [f"Training would fail: {problem}" for problem in problems(found)]
    texts = [*failing, *warnings(found)] or ["No problems found."]
    return "\n".join([*map(str.rstrip, buffer.getvalue().splitlines()), *texts])


def as_table(found: DatasetCheck) -> Table:
    parts = found.parts or ["photos"]
    readable = Counter((check.photo.label, check.photo.part or "photos") for check in found.readable)
    unreadable = Counter(check.photo.label for check in found.unreadable)
    columns = [Column(heading, justify="right") for heading in [*parts, "unreadable"]]
    table = Table(Column("class", overflow="fold"), *columns, box=box.SIMPLE_HEAD)
    for label, name in enumerate(found.classes):
        table.add_row(printable(name), *(str(readable[label, part]) for part in parts), str(unreadable[label]))
    return table


def finding(statement: str, noun: str, examples: Sequence[str]) -> list[str]:
    """Return a statement with its number of examples and the first of them; nothing if there are no examples."""
    if not examples:
        return []
    return [f"{statement}: {quantity(len(examples), noun)}.\n  " + shorten(examples, EXAMPLES, "\n  ")]


def shorten(names: Sequence[str], most: int = EXAMPLES, separator: str = ", ") -> str:
    """Join the first names, and count the rest."""
    rest = [f"... and {len(names) - most:,} more"] if len(names) > most else []
    return separator.join([*names[:most], *rest])


def shown(photo: Photo, folder: Path) -> str:
    return printable(str(photo.path.relative_to(folder)))
