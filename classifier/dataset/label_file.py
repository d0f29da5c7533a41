"""A CSV file that names the class of every photo: `filename,label`, and how such files vary."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from classifier.errors import DataError
from classifier.photos.files import Rejected
from classifier.text import decoded, is_class_name, printable, quantity

FILE_COLUMNS = (
    "filename",
    "file",
    "file_name",
    "image",
    "image_name",
    "image_id",
    "img",
    "path",
    "filepath",
    "photo",
    "id",
)
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "breed", "species")
MAX_BYTES = 100 * 10**6
NAMED = 3  # files named in a message


def read_labels(table: Path, folder: Path, paths: Sequence[Path]) -> tuple[dict[Path, str], list[Rejected]]:
    """Return the label of every photo that the file names, by path, and the files that it does not name.

    A name is the path below `folder`; the file name alone, or that without its extension, will do if it is unique.
    Raises DataError for a file that is not such a table, names a photo that is not there, or gives it two labels.
    """
    places = by_name(folder, paths)
    labels: dict[Path, str] = {}
    missing = []
    for name, label in rows_of(table):
        path = place_of(name, places)
        if path is None:
            missing.append(name)
        elif labels.setdefault(path, label) != label:
            raise DataError(f"{table} gives {printable(name)} two labels, {labels[path]} and {label}; expected one.")
    if missing:
        shown = ", ".join(map(printable, missing[:NAMED]))
        raise DataError(
            f"{table} names {quantity(len(missing), 'photo')} not found in {folder}, or found there more than once "
            f"({shown}); expected paths below that folder."
        )
    left = [Rejected(path, f"not in {table.name}, so no label") for path in paths if path not in labels]
    return {path: labels[path] for path in paths if path in labels}, [one for one in left if one.path != table]


def by_name(folder: Path, paths: Iterable[Path]) -> dict[str, list[Path]]:
    places = defaultdict(list)
    for path in paths:
        below = normalize("NFC", path.relative_to(folder).as_posix())
        whole = PurePosixPath(below)
        for name in {below, whole.name, str(whole.with_suffix("")), whole.stem}:
            places[name].append(path)
        places["/" + below].append(path)
    return places


def place_of(name: str, places: dict[str, list[Path]]) -> Path | None:
    """Return the only photo of a name, by its exact path first."""
    normal = normalize("NFC", name.replace("\\", "/").removeprefix("./"))
    candidates = places.get("/" + normal) or places.get(normal) or places.get(PurePosixPath(normal).name, [])
    return candidates[0] if len(candidates) == 1 else None


def rows_of(table: Path) -> list[tuple[str, str]]:
    """Return (file name, label) of every row. Raises DataError."""
    lines = text_of(table).splitlines()
    separator = max(",;\t", key=lines[0].count) if lines else ","
    header, *rows = list(csv.reader(lines, delimiter=separator)) or [[]]
    names = [name.strip().lower() for name in header]
    file = next((names.index(name) for name in FILE_COLUMNS if name in names), None)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    if file is None or label is None:
        raise DataError(
            f"{table} begins with {printable(','.join(header))[:80]!r}; expected the columns filename,label."
        )
    return [checked(table, row, file, label) for row in rows if any(map(str.strip, row))]


def checked(table: Path, row: Sequence[str], file: int, label: int) -> tuple[str, str]:
    if len(row) <= max(file, label) or not row[file].strip() or not is_class_name(row[label].strip()):
        raise DataError(f"{table} has the row {printable(','.join(row))[:80]!r}; expected a filename and a label.")
    return row[file].strip(), normalize("NFC", row[label].strip())


def text_of(table: Path) -> str:
    """Return the text of a file in UTF-8 or UTF-16. Raises DataError."""
    try:
        if table.stat().st_size > MAX_BYTES:
            raise DataError(f"{table} is larger than {MAX_BYTES // 10**6} MB; expected a CSV file of filename,label.")
        return decoded(table.read_bytes())
    except OSError as exc:
        raise DataError(f"{table} cannot be read: {exc.strerror}; expected a CSV file of filename,label.") from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"{table} is not UTF-8 or UTF-16 text; expected a CSV file of filename,label.") from exc
