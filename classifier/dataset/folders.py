"""One folder of a data set: what it holds, and which of the folders it is wrapped in."""

from pathlib import Path
from unicodedata import normalize

from PIL import Image

from classifier.dataset import part_names
from classifier.photos import files


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


def key(name: str) -> str:
    return normalize("NFC", name).casefold()
