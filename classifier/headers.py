"""What the first bytes of an image tell that Pillow does not, or not before it reserves memory."""

import struct

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SEQUENTIAL, PROGRESSIVE, START_OF_SCAN = (0xC0, 0xC1), 0xC2, 0xDA  # JPEG markers


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


def is_decoded_in_passing(data: bytes) -> bool:
    """Whether this JPEG is decoded row by row. Others (progressive, or one scan a channel) are first held whole.

    True for all that is no JPEG. Source: ITU-T T.81, B.1.1.2 and B.2: segments up to the first scan.
    """
    at, channels = 2, 0
    while data[:2] == b"\xff\xd8" and at + 10 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if data[at] != 0xFF or marker == PROGRESSIVE:
            return False
        if marker in SEQUENTIAL:
            channels = data[at + 9]
        if marker == START_OF_SCAN:
            return data[at + 4] == channels
        at += 1 if marker == 0xFF else 2 + length  # markers may be padded
    return True
