"""What an image file declares about itself, read before a library spends time or memory on it."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from classifier.photos import tiff

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

START_OF_IMAGE, SEQUENTIAL, START_OF_SCAN, END_OF_IMAGE = b"\xff\xd8", (0xC0, 0xC1), 0xDA, 0xD9
PROGRESSIVE, FINEST = 0xC2, b"\x3f"  # a frame's marker, and the last of a block's 64 frequencies
MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # neither a byte 0xFF of a scan, nor a restart, nor padding
MAX_SEGMENTS = 10_000  # of a JPEG, counted no further; photos have a few dozen

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_BOXES_BYTES = 2**16  # of a HEIC or AVIF photo, searched for its colours; those of phones have a few thousand
MAX_CHUNKS = 100  # of a PNG, looked through before its pixels; files have about ten


@dataclass(frozen=True)
class Header:
    """The declarations that decide what an image costs; each keeps its default in formats that do not have it."""

    size: tuple[int, int] = (0, 0)  # (width, height) of a WebP's canvas, which Pillow reserves when it opens the file
    segments: int = 0  # of a JPEG's first image, at most MAX_SEGMENTS
    scans: int = 0  # of a JPEG's first image, each a pass over all its pixels; 1 if it is sequential
    is_sequential: bool = True  # False for a JPEG that libjpeg must hold whole, as it cannot decode it row by row
    has_all_channels: bool = True  # False for a JPEG in which no scan of a channel up to its finest detail is finished
    pieces: int = 0  # strips or tiles of a TIFF's first directory, which Pillow lists when it opens the file
    significant_bits: int = 0  # of a PNG's grey or colours; 0 if it declares none
    colours: tuple[int, int] = (0, 0)  # primaries and transfer characteristics, as numbers of ITU-T H.273
    is_heic: bool = False  # a HEIF container whose content is not AVIF


def read(data: bytes) -> Header:
    """Parse the header of an image file of any format. Raises struct.error for a TIFF that is cut off."""
    if data.startswith(START_OF_IMAGE):
        return jpeg_header(data)
    if data[:4] in tiff.SIGNATURES:
        return Header(pieces=tiff.first(data).pieces)
    if data.startswith(PNG_SIGNATURE):
        return png_header(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Header(size=webp_size(data))
    return Header(is_heic=is_heic(data), colours=heif_colours(data) if data[4:8] == b"ftyp" else (0, 0))


def jpeg_header(data: bytes) -> Header:
    """Parse a JPEG up to its first scan if it is sequential, to its end if it is not.

    It is sequential if its frame is (not progressive) and its first scan holds all channels. Source: ITU-T T.81, B.2.
    """
    channels = scans = segments = 0
    is_progressive = False
    finished: set[int] = set()
    latest: frozenset[int] = frozenset()
    for segments, (marker, at) in enumerate(jpeg_segments(data), start=1):
        if marker in (*SEQUENTIAL, PROGRESSIVE):
            channels, is_progressive = int.from_bytes(data[at + 9 : at + 10]), marker == PROGRESSIVE
        elif marker == START_OF_SCAN:
            scans += 1
            if scans == 1 and not is_progressive and 0 < channels == int.from_bytes(data[at + 4 : at + 5]):
                return Header(segments=segments, scans=scans)
            finished |= latest
            latest = finest_channels(data, at)
    return Header(segments=segments, scans=scans, is_sequential=False, has_all_channels=len(finished) >= channels)


def finest_channels(data: bytes, at: int) -> frozenset[int]:
    """Return the channels of a scan at a place in a JPEG, none if the scan leaves out their finest detail."""
    count = int.from_bytes(data[at + 4 : at + 5])
    selectors, last = data[at + 5 : at + 5 + 2 * count : 2], data[at + 6 + 2 * count : at + 7 + 2 * count]
    return frozenset(selectors) if last == FINEST else frozenset()


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker and the position of the first `MAX_SEGMENTS` segments of a JPEG's first image.

    Bytes between segments are skipped, as libjpeg does. Source: ITU-T T.81, B.1.1.
    """
    at = len(START_OF_IMAGE)
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if not found or (marker := found[0][1]) == END_OF_IMAGE:
            return
        yield marker, found.start()
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])


def webp_size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of a WebP's canvas, (0, 0) if it is cut off. 32 bytes can declare gigabytes.

    Source: RFC 9649, sections 2.5-2.7.
    """
    if len(data) < 30:
        return 0, 0
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def png_header(data: bytes) -> Header:
    """Parse a PNG's chunks before its pixels. Source: W3C PNG, 11.3.2.6 (cICP) and 11.3.2.7 (sBIT).

    sBIT gives a number of bits for each channel, of which opacity is the last of two or four.
    """
    chunks = png_chunks(data)
    bits, (primaries, transfer) = chunks.get(b"sBIT", b""), (*chunks.get(b"cICP", b"")[:2], 0, 0)[:2]
    return Header(significant_bits=max(bits[: 3 if len(bits) > 2 else 1], default=0), colours=(primaries, transfer))


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the first bytes of the first MAX_CHUNKS chunks before a PNG's pixels, by their names."""
    at, chunks = len(PNG_SIGNATURE), dict[bytes, bytes]()
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if name in (b"", b"IDAT"):
            break
        chunks.setdefault(name, data[at + 8 : at + 8 + min(length, 4)])
        at += length + 12
    return chunks


def heif_colours(data: bytes) -> tuple[int, int]:
    """Return the numbers of the colours of a HEIC or AVIF photo, (0, 0) without any. Source: ISO 14496-12, 12.1.5."""
    at = data.find(b"colrnclx", 0, MAX_BOXES_BYTES) + len(b"colrnclx")
    return struct.unpack_from(">HH", data, at) if at >= len(b"colrnclx") and len(data) >= at + 4 else (0, 0)


def is_heic(data: bytes) -> bool:
    """Return True for a HEIF container that holds anything but AVIF."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and b"avif" not in data[:64]
