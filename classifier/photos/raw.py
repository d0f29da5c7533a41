"""Cameras' raw photos: TIFF files with a small picture first, the sensor's values, and often a large JPEG inside.

Sources: TIFF 6.0, TIFF/EP (ISO 12234-2), and Adobe's DNG specification.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from classifier.photos import tiff
from classifier.photos.headers import PROGRESSIVE, SEQUENTIAL, START_OF_IMAGE, jpeg_segments
from classifier.photos.tiff import Directory

REFUSAL = "This is a camera's raw photo; please export a JPEG."
MAX_DIRECTORIES = 16  # looked at; raw photos have up to eight
MAX_PICTURES = 4  # tried
MIN_SIDE = 256  # pixels: a smaller picture is a thumbnail, too little to answer from
MAX_HEAD = 2**20  # bytes of a JPEG in which its size must be found

OTHER_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
CANON_2, CANON_3 = b"CR", b"ftypcrx "
SENSOR = (32_803, 34_892)  # of PHOTOMETRIC: a colour filter array, and linear values
READABLE = (0, 1, 2, 5, 6, 8)  # of PHOTOMETRIC
REDUCED = 1  # of NEW_SUBFILE_TYPE
JPEG_PLACES = ((tiff.JPEG_OFFSET, tiff.JPEG_LENGTH), (tiff.STRIP_OFFSETS, tiff.STRIP_BYTE_COUNTS))


class Inner(NamedTuple):
    """A picture inside a TIFF: a JPEG, or the directory that describes it.

    `orientation` is the outer file's, as EXIF counts them; 0 if the picture has its own.
    """

    size: tuple[int, int]  # (width, height)
    orientation: int
    jpeg: slice = slice(0)
    directory: int = 0

    def file(self, data: bytes) -> tuple[bytes, int]:
        """Return the picture as a file of its own, `data` being the outer one, and its orientation."""
        file = tiff.beginning_with(data, self.directory) if self.directory else data[self.jpeg]
        return file, self.orientation


class Contents(NamedTuple):
    """Whether a file is a camera's raw photo, and the pictures inside to try, largest first."""

    is_raw: bool
    pictures: list[Inner]


def contents(data: bytes) -> Contents:
    """Look into a raw photo, or a TIFF whose first picture is a thumbnail; other files have no pictures inside."""
    if data[:4] not in tiff.SIGNATURES:
        return Contents(data.startswith(OTHER_SIGNATURES) or data[4:12] == CANON_3, [])
    found = directories(data)
    is_raw = data[8:10] == CANON_2 or is_of_a_sensor(found)
    if not (is_raw or any(directory.number(tiff.NEW_SUBFILE_TYPE) & REDUCED for directory in found[:1])):
        return Contents(False, [])
    inside = [inner for directory in found for inner in in_directory(data, directory, found[0])]
    fitting = [inner for inner in inside if min(inner.size) >= (MIN_SIDE if is_raw else 1)]
    fitting.sort(key=lambda inner: inner.size[0] * inner.size[1], reverse=True)
    return Contents(is_raw, fitting[:MAX_PICTURES])


def is_of_a_sensor(found: Sequence[Directory]) -> bool:
    return any(directory.number(tiff.PHOTOMETRIC, -1) in SENSOR for directory in found) or any(
        tiff.DNG_VERSION in directory.tags for directory in found[:1]
    )


def directories(data: bytes) -> list[Directory]:
    """Return the first directory, and those that follow or lie in one of these."""
    found: list[Directory] = []
    places = [tiff.first_place(data)]
    while places and len(found) < MAX_DIRECTORIES:
        at = places.pop(0)
        if not at or any(at == directory.at for directory in found):
            continue
        with suppress(struct.error):
            found.append(tiff.directory(data, at))
            places += [found[-1].next, *found[-1].tags.get(tiff.SUB_IFDS, ())]
    return found


def in_directory(data: bytes, directory: Directory, outer: Directory) -> Iterator[Inner]:
    """Yield the JPEG that a directory refers to, and what it describes itself if that can be read."""
    jpegs = [jpeg for tags in JPEG_PLACES if any(jpeg_size(data, jpeg := place(directory, *tags)))]
    for jpeg in jpegs[:1]:
        yield Inner(jpeg_size(data, jpeg), outer.number(tiff.ORIENTATION), jpeg=jpeg)
    if directory.number(tiff.PHOTOMETRIC, -1) in READABLE:
        size = directory.number(tiff.IMAGE_WIDTH), directory.number(tiff.IMAGE_LENGTH)
        has_own = tiff.ORIENTATION in directory.tags
        yield Inner(size, 0 if has_own else outer.number(tiff.ORIENTATION), directory=directory.at)


def place(directory: Directory, start: int, length: int) -> slice:
    at = directory.number(start)
    return slice(at, at + directory.number(length)) if len(directory.tags.get(start, ())) == 1 else slice(0)


def jpeg_size(data: bytes, jpeg: slice) -> tuple[int, int]:
    """Return the (width, height) of a JPEG of 8 bits that is not lossless; (0, 0) for anything else."""
    head = data[jpeg.start or 0 : min(jpeg.stop, (jpeg.start or 0) + MAX_HEAD)]
    if head.startswith(START_OF_IMAGE):
        for marker, at in jpeg_segments(head):
            if marker in (*SEQUENTIAL, PROGRESSIVE) and head[at + 4 : at + 5] == b"\x08":
                return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
    return 0, 0
