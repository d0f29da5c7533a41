"""Which folders are the parts of a split and which are classes, in the ways in which downloaded sets nest them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from PIL import Image

from classifier.dataset import part_names
from classifier.dataset.label_file import read_labels
from classifier.dataset.options import AUTO, DEFAULTS, NONE, DataOptions
from classifier.dataset.part_names import UNLABELLED
from classifier.errors import DataError
from classifier.photos import files
from classifier.photos.files import DEAD_LINK, Rejected
from classifier.text import printable, quantity

NAMED = 3  # folders named in a question

Folders = dict[str, list[Path]]  # class name -> its folders; two if one name is written in two forms of Unicode
Roots = list[tuple[str | None, Path]]  # the part, if any, and the folder that holds its class folders


class Photo(NamedTuple):
    """A file of a class; `part` is train, validation or test if the data folder is divided."""

    path: Path
    label: int
    part: str | None = None


@dataclass(frozen=True)
class Layout:
    """The classes of a data folder, sorted, every file of every class, and what was passed over."""

    classes: list[str]
    photos: list[Photo]
    passed_over: list[Rejected]


def find(folder: Path, options: DataOptions = DEFAULTS, least: int = 2) -> Layout:
    """Find the classes and their files, by path; no photo is opened.

    `folder` contains a folder per class, or folders for the parts of a split that do. Raises DataError if there are
    fewer than `least` classes, if it is not certain which folders are classes and which are parts, or if `options`
    exclude each other.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one that contains a folder of photos per class.")
    if options.labels and options.parts != AUTO:
        raise DataError("--labels and --parts exclude each other, as the CSV file names no parts; please give one.")
    found = labelled(folder, options.labels) if options.labels else in_folders(folder, options)
    if len(found.classes) < least:
        classes = "class" if options.labels else "class folder"
        raise DataError(
            f"{folder} contains {quantity(len(found.classes), classes)}; expected at least "
            f"{('one', 'two')[least - 1]}, each with photos of one class and named after it. "
            "If a CSV file names the class of every photo, add --labels FILE.csv."
        )
    return found


def labelled(folder: Path, table: Path) -> Layout:
    """Find the photos that a CSV file names below a folder. Raises DataError."""
    below = files.below(folder)
    labels, passed_over = read_labels(table, folder, below.paths)
    classes = sorted(set(labels.values()))
    photos = [Photo(path, classes.index(label)) for path, label in labels.items()]
    return Layout(classes, photos, [*below.passed_over, *passed_over])


def in_folders(folder: Path, options: DataOptions) -> Layout:
    passed_over: list[Rejected] = []
    roots = roots_of(folder, options, passed_over)
    found = [(part, class_folders(root, passed_over)) for part, root in roots]
    if options.parts == AUTO:
        found = [(part, without_wrapped_copies(classes, passed_over)) for part, classes in found]
        for part, classes in found:
            check_are_classes(folder, classes, part)
        found = without_unlabelled(found, passed_over)
    names = sorted({name for _, classes in found for name in classes})
    return Layout(names, photos_of(found, names, passed_over), list(dict.fromkeys(passed_over)))


def photos_of(
    found: Iterable[tuple[str | None, Folders]], names: Sequence[str], passed_over: list[Rejected]
) -> list[Photo]:
    photos = []
    for part, classes in found:
        for label, name in enumerate(names):
            for path in classes.get(name, []):
                below = files.below(path)
                photos += [Photo(file, label, part) for file in below.paths]
                passed_over += below.passed_over
    return photos


def roots_of(folder: Path, options: DataOptions, passed_over: list[Rejected]) -> Roots:
    """Return the folders that contain class folders. Raises DataError if the names leave it open."""
    if named := options.named_parts():
        return named_roots(folder, named, passed_over)
    root = unwrapped(folder)
    siblings = {path.name: path for path in subfolders(root)}
    parts = {} if options.parts == NONE else part_names.recognised(siblings)
    return recognised_roots(folder, siblings, parts, passed_over) if parts else [(None, root)]


def named_roots(folder: Path, named: Sequence[tuple[str, str]], passed_over: list[Rejected]) -> Roots:
    roots: Roots = []
    for part, name in named:
        if not subfolders(folder / name):
            raise DataError(
                f"--parts: {folder / name} contains no class folders; expected a folder below {folder} with a folder "
                "of photos per class."
            )
        roots.append((part, unwrapped(folder / name)))
    for path in subfolders(folder):
        if not any((folder / name).is_relative_to(path) for _, name in named):
            passed_over.append(Rejected(path, "not one of --parts"))
    return roots


def recognised_roots(
    folder: Path, siblings: dict[str, Path], parts: dict[str, str], passed_over: list[Rejected]
) -> Roots:
    """Return the parts that have class folders; the other siblings are passed over, or raise the question."""
    roots = [(parts[name], unwrapped(siblings[name])) for name in parts if parts[name] != UNLABELLED]
    roots = [(part, root) for part, root in roots if subfolders(root)]
    others = [path for name, path in siblings.items() if name not in parts]
    found = [part for part, _ in roots]
    if len(set(found)) < len(found):
        raise question(folder, "there are two folders for the same part", [siblings[name] for name in parts])
    is_divided = ("train" in found and len(parts) > 1) or (not others and {"train", "test"} & set(found))
    if not is_divided:
        raise question(folder, named_like_parts(parts), list(siblings.values()))
    for path in others:
        if any(are_alike(inner_names(path), inner_names(root)) for _, root in roots):
            raise question(folder, f"{printable(path.name)} holds the same folders as they do", list(siblings.values()))
    with_classes = {part for part, _ in roots}
    for name, path in siblings.items():
        if parts.get(name) not in with_classes:
            reason = "no class folders, so no labels" if name in parts else "not a part of the split"
            passed_over.append(Rejected(path, reason))
    return sorted(roots, key=lambda root: str(root[1]))


def named_like_parts(names: Iterable[str]) -> str:
    shown = list(map(printable, names))
    verb = "is named like a part" if len(shown) == 1 else "are named like parts"
    return f"{listed(shown)} {verb} of a split"


def check_are_classes(folder: Path, classes: Folders, part: str | None) -> None:
    """Raise DataError if class folders look like a level above the classes."""
    paths = [path for some in classes.values() for path in some]
    inner = {path: inner_names(path) for path in paths}
    names = {path.name for path in paths if part is None or inner[path]}
    if parts := part_names.recognised(names):
        raise question(folder, named_like_parts(parts), paths)
    if alike := next(iter(alike_pairs(inner)), None):
        names_of_two = listed([printable(path.name) for path in alike])
        raise question(folder, f"{names_of_two} hold the same folders and no photos of their own", paths)


def alike_pairs(inner: dict[Path, frozenset[str]]) -> Iterable[tuple[Path, Path]]:
    """Yield two folders of which one has all the subfolders of the other, and neither has photos of its own."""
    holders = defaultdict(list)
    for path, names in inner.items():
        for name in names:
            holders[name].append(path)
    for path, names in inner.items():
        for other in holders[min(names)] if names else ():
            if other != path and names <= inner[other]:
                yield path, other


def are_alike(some: frozenset[str], others: frozenset[str]) -> bool:
    return bool(some and others) and (some <= others or others <= some)


def without_wrapped_copies(classes: Folders, passed_over: list[Rejected]) -> Folders:
    """Leave out a folder that contains its siblings again, as in archives that were packed with a folder around."""
    names = {key(name) for name in classes}
    inner = {name: inner_names(path) for name, (path, *_) in classes.items()} if len(classes) > 2 else {}
    copies = {name for name, inside in inner.items() if len(inside) > 1 and inside <= names}
    passed_over += [Rejected(classes[name][0], "its folders are named like those beside it") for name in copies]
    return {name: paths for name, paths in classes.items() if name not in copies}


def without_unlabelled(
    found: Sequence[tuple[str | None, Folders]], passed_over: list[Rejected]
) -> list[tuple[str | None, Folders]]:
    """Leave out parts none of whose folders is a class of the training part, such as `test/unknown`."""
    known = {key(name) for part, classes in found for name in classes if part == "train"}
    kept = []
    for part, classes in found:
        if known and not known & set(map(key, classes)):
            paths = [path for some in classes.values() for path in some]
            passed_over += [Rejected(path, "not a class of the training part, so no label") for path in paths]
        else:
            kept.append((part, classes))
    return kept


def question(folder: Path, finding: str, paths: Sequence[Path]) -> DataError:
    """Return the error that asks which folders are parts and which are classes, with the option that decides."""
    return DataError(
        f"It is not certain which folders of {printable(str(folder))} are classes and which are parts of a split: "
        f"{finding}. If all are classes, add --parts none; if they divide the photos of the same classes, name each "
        f"part, for example --parts {example(folder, paths)}; "
        "if photos lie in no class folders, add --labels FILE.csv."
    )


def example(folder: Path, paths: Sequence[Path]) -> str:
    """Return a value of --parts for these folders: by their names, else the last one is the test part."""
    shown = sorted(paths) if len(paths) <= NAMED else [*sorted(paths)[: NAMED - 1], sorted(paths)[-1]]
    parts = part_names.recognised([path.name for path in shown])
    guesses = dict.fromkeys(shown, "train") | {shown[-1]: "test"}
    named = {path: parts.get(path.name, guesses[path]) for path in shown if not parts or path.name in parts}
    entries = [f"{part}={path.relative_to(folder)}" for path, part in named.items() if part != UNLABELLED]
    return printable(",".join(entries)) or "train=FOLDER,test=FOLDER"


def unwrapped(folder: Path) -> Path:
    """Return the folder below that holds the class folders or parts, where folders hold nothing but one more folder.

    A folder of the same name as the one around it, as in `train/train`, is one more folder even if it holds photos.
    """
    while len(inside := subfolders(folder)) == 1:
        (child,) = inside
        if part_names.recognised([child.name]) and not is_same_name(child, folder):
            return folder
        if not subfolders(child) and not (is_same_name(child, folder) and not own_photos(folder)):
            return folder
        folder = child
    return folder


def is_same_name(child: Path, folder: Path) -> bool:
    """Return True for `train/train`, and for `test/test_images`: two names of the same part."""
    readings = [part_names.recognised([path.name]).get(path.name, key(path.name)) for path in (child, folder)]
    return readings[0] == readings[1]


def class_folders(root: Path, passed_over: list[Rejected]) -> Folders:
    """Return the folders directly in `root` by their names in Unicode's composed form (NFC)."""
    entries = files.entries_of(root)
    passed_over += entries.passed_over
    dead = {path for path in entries.files if path.is_symlink() and not path.exists()}
    passed_over += [Rejected(path, DEAD_LINK) for path in sorted(dead)]
    if loose := [path for path in entries.files if is_photo(path) and path not in dead]:
        passed_over.append(Rejected(root, f"{quantity(len(loose), 'photo')} beside the class folders, in none of them"))
    classes: Folders = {}
    for path in sorted([*entries.folders, *entries.links]):
        classes.setdefault(normalize("NFC", path.name), []).append(path)
    return classes


def case_variants(classes: Iterable[str]) -> list[str]:
    """Return the groups of class names that differ in upper and lower case only: "Rose = rose"."""
    groups = defaultdict(list)
    for name in classes:
        groups[key(name)].append(name)
    return [" = ".join(map(printable, names)) for names in groups.values() if len(names) > 1]


def subfolders(folder: Path) -> list[Path]:
    entries = files.entries_of(folder)
    return sorted([*entries.folders, *entries.links])


def own_photos(folder: Path) -> bool:
    return any(map(is_photo, files.entries_of(folder).files))


def inner_names(folder: Path) -> frozenset[str]:
    """Return the names of a folder's subfolders; none if it has photos of its own."""
    return frozenset() if own_photos(folder) else frozenset(key(path.name) for path in subfolders(folder))


def is_photo(path: Path) -> bool:
    """Return True for the name of a photo: with an image's extension, or without any."""
    return path.suffix.lower() in {"", ".heic", ".heif", *Image.registered_extensions()}


def key(name: str) -> str:
    return normalize("NFC", name).casefold()


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c", or the first names and a number."""
    shown = [*names[:NAMED], *([f"{len(names) - NAMED:,} more"] if len(names) > NAMED else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
