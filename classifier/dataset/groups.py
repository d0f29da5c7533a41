"""Classes in groups: `dog/collie` and `dog/beagle` are the classes collie and beagle of the group dog."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from classifier.dataset import part_names
from classifier.dataset.folders import key, own_photos, subfolders
from classifier.text import printable

Groups = dict[str, list[str]]  # the name of a group and its classes, sorted
Places = list[tuple[str | None, Path]]  # the folders of one name, each with the part that it is in
Divided = Sequence[tuple[str | None, Mapping[str, list[Path]]]]


def grouped(found: Divided) -> tuple[list[tuple[str | None, dict[str, list[Path]]]], Groups]:
    """Return the class folders of each part, where those inside a group replace it, and the groups.

    A class folder is a group if it has no photos of its own but two folders with photos or more. No group is found if
    that is in doubt: if two of the classes would have the same name, or one is numbered or named like a part.
    """
    groups: list[tuple[str, list[str]]] = []
    leaves = [leaf for name, places in by_name(found).items() for leaf in leaves_of(name, places, groups)]
    inside = {name for _, names in groups for name in names}
    if not (are_distinct(name for name, _ in leaves) and are_distinct(name for name, _ in groups)) or in_doubt(inside):
        return [(part, dict(classes)) for part, classes in found], {}
    parts = dict.fromkeys(part for part, _ in found)
    return [(part, in_part(part, leaves)) for part in parts], dict(groups)


def in_part(part: str | None, leaves: Iterable[tuple[str, Places]]) -> dict[str, list[Path]]:
    paths = {name: [path for its_part, path in places if its_part == part] for name, places in leaves}
    return {name: some for name, some in paths.items() if some}


def by_name(found: Divided) -> dict[str, Places]:
    places: dict[str, Places] = defaultdict(list)
    for part, classes in found:
        for name, paths in classes.items():
            places[name] += [(part, path) for path in paths]
    return places


def leaves_of(name: str, places: Places, groups: list[tuple[str, list[str]]]) -> list[tuple[str, Places]]:
    """Return the classes of a class folder: itself, or those inside if it is a group, which is added to `groups`."""
    inner = inner_folders(places)
    if len(inner) < 2:
        return [(name, places)]
    leaves = [leaf for child, some in inner.items() for leaf in leaves_of(child, some, groups)]
    groups.append((name, sorted(child for child, _ in leaves)))
    return leaves


def inner_folders(places: Places) -> dict[str, Places]:
    """Return the folders inside by name; none if there are photos or links beside them, which have no other class."""
    inner: dict[str, Places] = defaultdict(list)
    for part, path in places:
        below = subfolders(path)
        if own_photos(path) or any(folder.is_symlink() for folder in below):
            return {}
        for folder in below:
            if own_photos(folder) or subfolders(folder):
                inner[normalize("NFC", folder.name)].append((part, folder))
    return inner


def are_distinct(names: Iterable[str]) -> bool:
    return max(Counter(map(key, names)).values(), default=1) == 1


def in_doubt(names: set[str]) -> bool:
    """Return True for names such as "batch 2", "2024-05-01" or "train", which are rarely those of classes."""
    return any(char.isdigit() for name in names for char in name) or bool(part_names.recognised(names))


def about_groups(groups: Groups) -> list[str]:
    """Return a sentence for every group, with the option that makes it one class."""
    return [
        f"{printable(name)} is a group of the classes {', '.join(map(printable, classes))}; --flat makes it one class."
        for name, classes in groups.items()
    ]
