"""What the bytes of an image tell that Pillow does not, or not before it spends time and memory on them."""

import re
import struct
from collections.abc import Iterator

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

START_OF_IMAGE, SEQUENTIAL, START_OF_SCAN, END_OF_IMAGE = b"\xff\xd8", (0xC0, 0xC1), 0xDA, 0xD9
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # neither a byte 0xFF of a scan, nor a restart, nor padding
MAX_SEGMENTS = 10_000  # photos have some dozen

STRIP_OFFSETS, TILE_OFFSETS = 273, 324  # TIFF tags


def is_heic(data: bytes) -> bool:
    """Whether this is a HEIF container with something else than AVIF in it."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and b"avif" not in data[:64]


def webp_size(data: bytes) -> tuple[int, int]:
    """The (width, height) a WebP header declares, (0, 0) for all else.

    Pillow reserves the whole canvas when it opens a WebP, so 32 bytes could claim gigabytes.
    Source: RFC 9649, sections 2.5-2.7.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return 0, 0
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The first `MAX_SEGMENTS` markers of a JPEG's first image, each with where it stands; nothing for all else.

    What is between segments is passed over, as libjpeg does. Source: ITU-T T.81, B.1.1.
    """
    at = 2 if data[:2] == START_OF_IMAGE else len(data)
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if not found or found[1][0] == END_OF_IMAGE:
            return
        yield found[1][0], found.start()
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])


def is_decoded_in_passing(data: bytes) -> bool:
    """Whether this JPEG is decoded row by row. Others (progressive, or one scan a channel) are first held whole.

    True for all that is no JPEG. Source: ITU-T T.81, B.2: the frame and the first scan tell.
    """
    channels = 0
    for marker, at in jpeg_markers(data):
        if marker in SEQUENTIAL:
            channels = int.from_bytes(data[at + 9 : at + 10])
        if marker == START_OF_SCAN:
            return 0 < channels == int.from_bytes(data[at + 4 : at + 5])
    return data[:2] != START_OF_IMAGE


def tiff_pieces(data: bytes) -> int:
    """How many strips or tiles a TIFF's first directory declares, 0 for all else. Raises struct.error.

    Pillow lists them all when it opens an uncompressed one. Source: TIFF 6.0, section 2, and BigTIFF's.
    """
    if data[:4] not in (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"):
        return 0
    order, is_big = "<" if data[:2] == b"II" else ">", data[2:3] == b"+"  # where Pillow looks for it
    number, entry, start = ("Q", "HHQ8x", 8) if is_big else ("H", "HHL4x", 4)
    (at,) = struct.unpack_from(order + ("Q" if is_big else "L"), data, start)
    (entries,) = struct.unpack_from(order + number, data, at)
    at += struct.calcsize(order + number)
    end = min(len(data), at + entries * struct.calcsize(order + entry))
    end -= (end - at) % struct.calcsize(order + entry)
    tags = struct.iter_unpack(order + entry, memoryview(data)[at:end])
    return max((count for tag, _, count in tags if tag in (STRIP_OFFSETS, TILE_OFFSETS)), default=0)
