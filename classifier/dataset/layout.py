"""Which folders are the parts of a split and which are classes, in the ways in which downloaded sets nest them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from classifier.dataset import part_names
from classifier.dataset.folders import inner_names, is_photo, key, own_photos, subfolders, unwrapped
from classifier.dataset.groups import Groups, grouped
from classifier.dataset.label_file import read_labels
from classifier.dataset.options import AUTO, DEFAULTS, NONE, DataOptions
from classifier.dataset.part_names import UNLABELLED
from classifier.dataset.question import Parts, division_inside, listed, named_like_parts, question
from classifier.errors import DataError
from classifier.photos import files
from classifier.photos.files import DEAD_LINK, Rejected
from classifier.text import printable, quantity

Folders = dict[str, list[Path]]  # class name -> its folders; two if one name is written in two forms of Unicode
Divided = Sequence[tuple[str | None, Folders]]  # the part, if any, and the class folders in it
Roots = list[tuple[str | None, Path]]  # the part, if any, and the folder that holds its class folders


class Photo(NamedTuple):
    """A file of a class; `part` is train, validation or test if the data folder is divided."""

    path: Path
    label: int
    part: str | None = None


@dataclass(frozen=True)
class Layout:
    """The classes of a data folder, sorted, every file of every class, what was passed over, and groups of classes."""

    classes: list[str]
    photos: list[Photo]
    passed_over: list[Rejected]
    groups: Groups = field(default_factory=dict)


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
    passed_over += [rejected for level in levels(folder, roots) for rejected in beside_folders(level)]
    found: Divided = [(part, class_folders(root)) for part, root in roots]
    if options.parts == AUTO:
        found = unambiguous(folder, found, passed_over)
    found, groups = (found, {}) if options.flat else grouped(found)
    names = sorted({name for _, classes in found for name in classes})
    return Layout(names, photos_of(found, names, passed_over), list(dict.fromkeys(passed_over)), groups)


def unambiguous(folder: Path, found: Divided, passed_over: list[Rejected]) -> Divided:
    """Return the class folders of each part without those that are none. Raises DataError if that is not certain."""
    found = [(part, without_wrapped_copies(classes, passed_over)) for part, classes in found]
    if len(found) == 1 and (inverted := by_parts_inside(found[0][1])):
        return inverted
    for part, classes in found:
        if doubt := doubt_about_classes(paths := [path for some in classes.values() for path in some], part):
            raise question(folder, doubt, paths)
    return without_unlabelled(found, passed_over)


def photos_of(found: Divided, names: Sequence[str], passed_over: list[Rejected]) -> list[Photo]:
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
    roots = {name: (part, unwrapped(siblings[name])) for name, part in parts.items() if part != UNLABELLED}
    roots = {name: root for name, root in roots.items() if subfolders(root[1])}
    if doubt := doubt_about_parts(siblings, parts, roots):
        raise question(folder, doubt, list(siblings.values()))
    for name, path in siblings.items():
        if name not in roots:
            reason = "no class folders, so no labels" if name in parts else "not a part of the split"
            passed_over.append(Rejected(path, reason))
    return sorted(roots.values(), key=lambda root: str(root[1]))


def doubt_about_parts(
    siblings: dict[str, Path], parts: dict[str, str], roots: dict[str, tuple[str, Path]]
) -> str | None:
    """Return why siblings, some of which are named like `parts`, may be classes; None if they divide the photos."""
    found = [part for part, _ in roots.values()]
    if len(set(found)) < len(found):
        return "there are two folders for the same part"
    others = [path for name, path in siblings.items() if name not in parts]
    if not (("train" in found and len(parts) > 1) or (not others and {"train", "test"} & set(found))):
        return named_like_parts(parts)
    classes = [inner_names(root) for _, root in roots.values()]
    alike = (path for path in others if any(are_alike(inner_names(path), names) for names in classes))
    return next((f"{printable(path.name)} holds the same folders as they do" for path in alike), None)


def are_alike(some: frozenset[str], others: frozenset[str]) -> bool:
    return bool(some and others) and (some <= others or others <= some)


def doubt_about_classes(paths: Sequence[Path], part: str | None) -> str | None:
    """Return why folders in a part, or in none, may not be classes; None if they are."""
    inner = {path: inner_names(path) for path in paths}
    if parts := part_names.recognised({path.name for path in paths if part is None or inner[path]}):
        return named_like_parts(parts)
    if divided := next(filter(division_inside, paths), None):
        return f"{printable(divided.name)} holds the parts of a split"
    if alike := next(iter(alike_pairs(inner)), None):
        return f"{listed([printable(path.name) for path in alike])} hold the same folders and no photos of their own"
    return None


def alike_pairs(inner: dict[Path, frozenset[str]]) -> Iterator[tuple[Path, Path]]:
    """Yield two folders of which one has all the subfolders of the other, and neither has photos of its own.

    One name alone, such as `images` in every class, cannot be that of the classes.
    """
    if len(frozenset().union(*inner.values())) < 2:
        return
    holders = defaultdict(list)
    for path, names in inner.items():
        for name in names:
            holders[name].append(path)
    for path, names in inner.items():
        for other in holders[min(names)] if names else ():
            if other != path and names <= inner[other]:
                yield path, other


def without_wrapped_copies(classes: Folders, passed_over: list[Rejected]) -> Folders:
    """Leave out a folder that contains its siblings again, as in archives that were packed with a folder around."""
    names = {key(name) for name in classes}
    inner = {name: inner_names(path) for name, (path, *_) in classes.items()} if len(classes) > 2 else {}
    copies = {name for name, inside in inner.items() if len(inside) > 1 and inside <= names}
    passed_over += [Rejected(classes[name][0], "its folders are named like those beside it") for name in copies]
    return {name: paths for name, paths in classes.items() if name not in copies}


def by_parts_inside(classes: Folders) -> Divided:
    """Return the parts into which every class folder is divided, as in `cat/train` and `dog/train`; else nothing."""
    inside = {(name, path): parts_inside(path) for name, paths in classes.items() for path in paths}
    found: dict[str, Folders] = defaultdict(lambda: defaultdict(list))
    for (name, _), parts in inside.items():
        for path, part in parts.items():
            found[part][name].append(path)
    return list(found.items()) if all(inside.values()) else []


def parts_inside(folder: Path) -> Parts:
    """Return the folders of photos in a class folder, each with its part; none unless all are parts."""
    paths = [] if own_photos(folder) else subfolders(folder)
    parts = part_names.recognised([path.name for path in paths])
    is_divided = "train" in parts.values() and len(parts) == len(paths) and UNLABELLED not in parts.values()
    return {path: parts[path.name] for path in paths} if is_divided and not any(map(subfolders, paths)) else {}


def without_unlabelled(found: Divided, passed_over: list[Rejected]) -> Divided:
    """Leave out parts none of whose folders is a class of the training part, such as `test/unknown`."""
    known = {key(name) for part, classes in found for name in classes if part == "train"}
    kept: list[tuple[str | None, Folders]] = []
    for part, classes in found:
        if known and not known & set(map(key, classes)):
            paths = [path for some in classes.values() for path in some]
            passed_over += [Rejected(path, "not a class of the training part, so no label") for path in paths]
        else:
            kept.append((part, classes))
    return kept


def class_folders(root: Path) -> Folders:
    """Return the folders directly in `root` by their names in Unicode's composed form (NFC)."""
    classes: Folders = {}
    for path in subfolders(root):
        classes.setdefault(normalize("NFC", path.name), []).append(path)
    return classes


def levels(folder: Path, roots: Roots) -> list[Path]:
    """Return the folders from `folder` down to those that hold class folders, in order."""
    return sorted({level for _, root in roots for level in (root, *root.parents) if level.is_relative_to(folder)})


def beside_folders(level: Path) -> list[Rejected]:
    """Return what lies beside the folders of a level, where it belongs to no class."""
    entries = files.entries_of(level)
    dead = [path for path in entries.files if path.is_symlink() and not path.exists()]
    loose = [path for path in entries.files if is_photo(path) and path not in dead]
    notice = Rejected(level, f"{quantity(len(loose), 'photo')} beside the class folders, in none of them")
    return [*entries.passed_over, *(Rejected(path, DEAD_LINK) for path in dead), *([notice] if loose else [])]


def case_variants(classes: Iterable[str]) -> list[str]:
    """Return the groups of class names that differ in upper and lower case only: "Rose = rose"."""
    groups = defaultdict(list)
    for name in classes:
        groups[key(name)].append(name)
    return [" = ".join(map(printable, names)) for names in groups.values() if len(names) > 1]
