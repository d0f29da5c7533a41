"""The question which folders are classes and which are parts of a split, where names and contents leave it open."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from classifier.dataset import part_names
from classifier.dataset.folders import subfolders, unwrapped
from classifier.dataset.part_names import UNLABELLED
from classifier.errors import DataError
from classifier.text import printable

NAMED = 3  # folders named in a question

Parts = dict[Path, str]  # a folder of each part


def question(folder: Path, finding: str, paths: Sequence[Path]) -> DataError:
    """Return the error that asks which folders are parts and which are classes, with the option that decides."""
    return DataError(
        f"It is not certain which folders of {printable(str(folder))} are classes and which are parts of a split: "
        f"{finding}. If all are classes, add --parts none; if they divide the photos of the same classes, name each "
        f"part, for example --parts {example(folder, paths)}; "
        "if photos lie in no class folders, add --labels FILE.csv."
    )


def example(folder: Path, paths: Sequence[Path]) -> str:
    """Return a value of --parts for these folders: by the names of parts in or among them, else by a guess."""
    divisions = filter(None, map(division_inside, paths))
    parts = next(divisions, {}) or guess(sorted(paths))
    entries = [f"{part}={path.relative_to(folder)}" for path, part in parts.items()]
    return printable(quote(",".join(entries))) if entries else "train=FOLDER,test=FOLDER"


def guess(paths: Sequence[Path]) -> Parts:
    """Return the folders that are named like parts, and others to train with; of others alone, the last is to test."""
    recognised = part_names.recognised([path.name for path in paths])
    named = {path: recognised[path.name] for path in paths if path.name in recognised}
    others = [path for path in paths if path not in named]
    parts = {path: part for path, part in named.items() if part != UNLABELLED}
    if "train" in parts.values():
        return parts
    return dict.fromkeys(others[: NAMED - 1], "train") | (parts or dict.fromkeys(others[1:][-1:], "test"))


def division_inside(folder: Path) -> Parts:
    """Return the parts of a split, with class folders, in a folder or in the one wrapped in it; none in a class."""
    inside = [path for path in subfolders(unwrapped(folder)) if subfolders(path)]
    recognised = part_names.recognised([path.name for path in inside])
    parts = {path: recognised[path.name] for path in inside if path.name in recognised}
    return parts if len(parts) > 1 and "train" in parts.values() else {}


def named_like_parts(names: Iterable[str]) -> str:
    shown = list(map(printable, names))
    verb = "is named like a part" if len(shown) == 1 else "are named like parts"
    return f"{listed(shown)} {verb} of a split"


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c", or the first names and a number."""
    shown = [*names[:NAMED], *([f"{len(names) - NAMED:,} more"] if len(names) > NAMED else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
