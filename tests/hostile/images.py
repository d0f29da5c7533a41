"""A small function for every file that once took too much time or memory or broke something; `BUGS` lists them all.

Each tells what it did before it was refused, with Pillow 13.0 on two cores.
"""

import io
import struct
import zlib

from PIL import Image

COMMENT = b"\x21\xfe" + b"\1a" * 500 + b"\0"
# 7071 x 7071 pixels of red, lossless: 0.8 GB to decode.
FLAT_WEBP = bytes.fromhex("524946461c000000574542505650384c0f0000002f9e9be7060710fd8ffe0722a2ff0100")
FULL = 19_500_000  # bytes, just under CLASSIFIER_MAX_UPLOAD_MB


def plain(format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 10), "red").save(buffer, format, **options)
    return buffer.getvalue()


def filled(head: bytes, part: bytes, tail: bytes) -> bytes:
    """Return as many copies of `part` between `head` and `tail` as fit into an upload."""
    return head + part * ((FULL - len(head) - len(tail)) // len(part)) + tail


def segment(marker: int, content: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(part: bytes) -> bytes:
    jpeg = plain("JPEG")
    return filled(jpeg[:2], part, jpeg[2:])


def progressive(width: int, height: int, scans: int, channels: int = 3) -> bytes:
    """Return a grey progressive JPEG with `scans` scans that refine nothing."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    for kind, symbol in ((0x00, 0x00), (0x10, 0xE0)):  # "no difference", and "the next 16,384 blocks are done"
        tables += segment(0xC4, bytes([kind, 1]) + b"\0" * 15 + bytes([symbol]))
    components = b"".join(bytes([i, 0x11, 0]) for i in range(1, channels + 1))
    frame = segment(0xC2, struct.pack(">BHHB", 8, height, width, channels) + components)
    blocks = -(-width // 8) * -(-height // 8)
    every = b"".join(bytes([i, 0]) for i in range(1, channels + 1))
    first = segment(0xDA, bytes([channels]) + every + b"\0\0\1") + b"\0" * (blocks * channels // 8 + 1)
    runs = b"\0" * ((blocks // 2**14 + 1) * 15 // 8 + 1)
    more = [
        segment(0xDA, bytes([1, i % channels + 1, 0, 1, 63, 0x01 if i < channels else 0x10])) + runs
        for i in range(scans)
    ]
    return b"\xff\xd8" + tables + frame + first + b"".join(more) + b"\xff\xd9"


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(part: bytes, before: bytes) -> bytes:
    head, found, tail = plain("PNG").partition(before)
    return filled(head[:-4], part, head[-4:] + found + tail)  # a chunk starts with the four bytes of its length


def gif_with(part: bytes) -> bytes:
    gif = plain("GIF")
    at = gif.index(b",", 13)
    return filled(gif[:at], part, gif[at:])


def bmp(width: int, height: int, run: bytes) -> bytes:
    """Return a run-length encoded BMP that repeats one run."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0) + b"\0" * 1024
    return filled(b"BM" + struct.pack("<IHHI", FULL, 0, 0, 14 + len(head)) + head, run, b"")


def tiff(tags: dict[int, tuple[int, int, int]], data: bytes = b"") -> bytes:
    """A grey 7000 x 7000 TIFF; `tags` are (type, count, value), -1 for where `data` starts."""
    tags = {256: (4, 1, 7000), 257: (4, 1, 7000), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)} | tags
    at = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, *kind, at if value < 0 else value) for tag, (*kind, value) in tags.items()]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(entries) + b"\0" * 4 + data


def exif_of_60_000_tags() -> bytes:
    """Return a TIFF whose strips all use the same 18 MB of data."""
    tags = b"".join(struct.pack("<HHII", tag, 7, 18_000_000, 800_000) for tag in range(1, 60_001))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + tags + b"\0" * 18_200_000


def png(width: int, height: int, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


TEXT = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 64 * 2**20))


def webp(width: int, height: int) -> bytes:
    """Return 34 bytes of WebP that declare a canvas of width x height."""
    payload = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 9
    body = b"WEBPVP8L" + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tall_png() -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 60_000_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND")


def tiff_in_strips() -> bytes:
    return tiff({273: (1, FULL - 1000, -1), 278: (4, 1, 1)}, b"\1" * (FULL - 1000))


def tiff_in_tiles() -> bytes:
    return tiff({322: (4, 1, 1), 323: (4, 1, 1), 324: (3, FULL // 2 - 500, -1)}, b"\1" * (FULL - 1000))


# What it is and what it did: how to make it, and the name of the error that it gets now ("" for an answer).
BUGS = {
    "JPEG of 1000 scans: 15 s": (lambda: progressive(5000, 5000, 1000), "TooLarge"),
    "JPEG of 5 million empty segments: 8 s, 650 MB": (lambda: jpeg_with(segment(0xE5)), "TooLarge"),
    "JPEG of 2 million empty EXIF segments: 4 s": (lambda: jpeg_with(segment(0xE1, b"Exif\0\0")), "TooLarge"),
    "JPEG padded with 20 MB: 18 s": (lambda: jpeg_with(b"\xff"), "TooLarge"),
    "JPEG with 10 million escaped bytes before its frame: 4 s": (lambda: jpeg_with(b"\xff\0"), "TooLarge"),
    "PNG of 1.6 million empty chunks: 4 s": (lambda: png_with(chunk(b"abCd"), b"IDAT"), "TooLarge"),
    "PNG of 1.6 million chunks after its pixels: 3 s": (lambda: png_with(chunk(b"abCd"), b"IEND"), "TooLarge"),
    "GIF with 10 million blocks of comment: 4 s, 860 MB": (lambda: gif_with(COMMENT), "TooLarge"),
    "BMP of 10 million runs: 4 s": (lambda: bmp(2800, 2800, b"\1\5"), "TooLarge"),
    "BMP of 50 megapixels of line ends: 5 s": (lambda: bmp(16_384, 3051, b"\1\5\0\0"), "TooLarge"),
    "TIFF of 20 million strips: minutes": (tiff_in_strips, "TooLarge"),
    "TIFF in tiles of one pixel: minutes": (tiff_in_tiles, "TooLarge"),
    "EXIF of 60,000 tags: as many lines in the log": (lambda: plain("PNG", exif=exif_of_60_000_tags()), ""),
    "WebP of 34 bytes that declares 13377 x 13377: 2.8 GB": (lambda: webp(13_377, 13_377), "TooLarge"),
    "PNG of 1 x 60 million pixels: 3 GB": (tall_png, "TooLarge"),
}
