"""A zip file from a stranger -> its photos, read one by one.

Nothing is unpacked to a disk, and names are only shown. `zipfile` believes what a file declares about itself; here its
declarations are checked first, and `zipfile` never unpacks more than they promise.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from classifier.errors import BrokenImage, ClassifierError, Misunderstood, NoImage, TooLarge, UnsupportedImage
from classifier.photos.files import NOT_PHOTOS, SYSTEM_FOLDERS
from classifier.text import printable, quantity

SIGNATURES = (b"PK\3\4", b"PK\5\6")  # a file with entries, and one without any
# A zip file without any such name holds something other than photos, which is not worth trying file by file.
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".heic",
    ".heif", ".mpo", ".dng", ".nef", ".arw", ".cr2", ".pef",
}  # fmt: skip
DOCUMENTS = {"[Content_Types].xml", "META-INF/MANIFEST.MF", "mimetype", "AndroidManifest.xml"}
ENCRYPTED, UTF_8 = 0x1, 0x800  # bits of an entry's flags
CHUNK = 2**20  # bytes unpacked at a time
MAX_RATIO, RATIO_FROM = 200, 2**22  # of a photo's size to its packed size, checked from this size on
LIST_BYTES, PER_PHOTO = 2**20, 2**10  # a zip file's list of files may have so many bytes, and so many more per photo
MAX_NAME = 255  # characters

AGAIN = "please make the zip file again"
DAMAGED = f"This zip file is damaged or incomplete; {AGAIN} and send that."
NOT_OF_PHOTOS = "This is a document or a program in the form of a zip file; please send photos, or a zip file of them."
NO_PHOTOS = (
    "This zip file holds no files with names such as photo.jpg or photo.png; please put photos into it, not zip files."
)
PASSWORD = f"This photo is locked with a password; {AGAIN} without one."
METHOD = f'This photo is packed in a way that this site cannot read; {AGAIN} with the usual method, "deflate".'
LINK = f"This is a link to a file outside the zip file; {AGAIN} with the photo itself."
NESTED = "This is a zip file inside a zip file; please send it by itself."
BROKEN = f"This photo is damaged inside the zip file; {AGAIN}."
RATIO = "This file is packed more tightly than a photo can be; please save it as a JPEG and send that."


class ZipLimits(NamedTuple):
    """Bounds of one zip file; the bytes are those of unpacked photos."""

    photos: int
    bytes: int  # of all photos
    photo_bytes: int  # of one

    def without(self, photos: int, bytes: int) -> "ZipLimits":
        """Return what is left after another zip file has held so much."""
        return self._replace(photos=self.photos - photos, bytes=self.bytes - bytes)


class ZippedPhoto:
    """A photo in a zip file that is open. Its name is safe to show; its size is what it takes, in bytes."""

    def __init__(self, file: ZipFile, info: ZipInfo, max_bytes: int) -> None:
        self._file = file
        self._info = info
        self._max_bytes = max_bytes
        self.name = shown_name(info)
        self.size = info.file_size if info.file_size <= max_bytes else 0  # a photo that is too large is not read

    def read(self) -> bytes:
        """Unpack the photo. Raises TooLarge, UnsupportedImage or BrokenImage."""
        check_photo(self._info, self._max_bytes)
        with photo_errors(), self._file.open(self._info) as packed:
            data = b"".join(iter(partial(packed.read, CHUNK), b""))
        if is_zip(data):
            raise UnsupportedImage(NESTED)
        return data


class BoundedFile:
    """A file that yields at most `max_bytes` at once: `zipfile` reads the list of files in one go. Raises TooLarge."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self.seek, self.tell, self.seekable = file.seek, file.tell, lambda: True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._max_bytes + 1) if size >= 0 else self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise TooLarge("This zip file lists far more files than it may hold photos; please split it.")
        return data


def is_zip(data: bytes) -> bool:
    """Return whether a file that begins with `data` is a zip file, whatever its name."""
    return data.startswith(SIGNATURES)


def photos(file: IO[bytes], limits: ZipLimits) -> list[ZippedPhoto]:
    """Return the photos of a zip file, which must stay open while they are read, in the file's order.

    Folders, hidden files and those that systems and file managers add are passed over.

    Raises Misunderstood for a file that is damaged, NoImage for one without photos, or TooLarge.
    """
    with zip_errors():
        opened = ZipFile(BoundedFile(file, LIST_BYTES + limits.photos * PER_PHOTO))
        infos = [info for info in opened.infolist() if not is_passed_over(info)]
    check_is_of_photos(opened, infos)
    check_amount(infos, limits)
    return [ZippedPhoto(opened, info, limits.photo_bytes) for info in infos]


def is_passed_over(info: ZipInfo) -> bool:
    """Return whether an entry is a folder, is hidden, or was added by a system or a file manager."""
    parts = [part.lower() for part in parts_of(info)]
    is_added = any(part.startswith(".") or part in SYSTEM_FOLDERS for part in parts)
    return not parts or is_added or parts[-1] in NOT_PHOTOS or info.filename.endswith(("/", "\\"))


def check_is_of_photos(file: ZipFile, infos: list[ZipInfo]) -> None:
    """Raise NoImage for a document, a program, or a zip file in which no name is that of a photo."""
    if not DOCUMENTS.isdisjoint(file.namelist()):
        raise NoImage(NOT_OF_PHOTOS)
    if not any(PurePosixPath(info.filename.lower()).suffix in SUFFIXES for info in infos):
        raise NoImage(NO_PHOTOS)


def check_amount(infos: list[ZipInfo], limits: ZipLimits) -> None:
    """Raise TooLarge for more photos, or more bytes of them, than allowed."""
    if len(infos) > limits.photos:
        raise TooLarge(
            f"This zip file holds {quantity(len(infos), 'photo')}, but one request may hold {limits.photos:,} in zip "
            "files; please split it."
        )
    if (unpacked := sum(info.file_size for info in infos)) > limits.bytes:
        raise TooLarge(
            f"This zip file has {megabytes(unpacked)} MB when it is unpacked, more than the "
            f"{megabytes(limits.bytes)} MB allowed; please split it."
        )


def check_photo(info: ZipInfo, max_bytes: int) -> None:
    """Refuse a photo by what is declared about it. Raises TooLarge or UnsupportedImage."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnsupportedImage(LINK)
    if info.flag_bits & ENCRYPTED:
        raise UnsupportedImage(PASSWORD)
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others can take gigabytes to unpack
        raise UnsupportedImage(METHOD)
    if info.file_size > max_bytes:
        found, allowed = megabytes(info.file_size), megabytes(max_bytes)
        raise TooLarge(f"This file has {found} MB, more than the {allowed} MB allowed for a photo; please shrink it.")
    if info.file_size > max(RATIO_FROM, MAX_RATIO * info.compress_size):
        raise TooLarge(RATIO)


def shown_name(info: ZipInfo) -> str:
    """Return an entry's name as a person may see it, at most `MAX_NAME` long."""
    return "/".join(parts_of(info))[-MAX_NAME:]


def parts_of(info: ZipInfo) -> list[str]:
    """Return the folders and the name of an entry, printable and without any way out of where it is unpacked."""
    name = info.filename if info.flag_bits & UTF_8 else in_utf_8(info.filename)
    return [part for part in printable(name, "").replace("\\", "/").split("/") if part not in ("", ".", "..")]


def in_utf_8(name: str) -> str:
    """Return a name that `zipfile` took for CP437 as UTF-8 if it can be, as macOS writes without declaring it."""
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def megabytes(size: int) -> str:
    """Return bytes as MiB, in which the settings count, rounded up."""
    return f"{-(-size // 2**20):,}"


@contextmanager
def zip_errors() -> Iterator[None]:
    """Turn whatever `zipfile` raises over a hostile file into one error for people."""
    try:
        yield
    except ClassifierError:
        raise
    except Exception as exc:
        raise Misunderstood(DAMAGED) from exc


@contextmanager
def photo_errors() -> Iterator[None]:
    """Turn whatever `zipfile` raises over a hostile entry into one error for people."""
    try:
        yield
    except Exception as exc:
        raise BrokenImage(BROKEN) from exc
