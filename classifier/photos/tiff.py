"""What a TIFF declares in its directories, and layouts that Pillow could read but does not. Source: TIFF 6.0."""

import struct
from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from PIL import TiffImagePlugin

from classifier.text import quantity

SIGNATURES = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
MAX_VALUES = 16  # of a tag, read no further

# Tags of the baseline and of TIFF/EP; the name of each is that of its specification.
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS = 273, 274, 277, 279
TILE_OFFSETS, SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, S_MAX_SAMPLE_VALUE = 324, 330, 338, 339, 341
JPEG_OFFSET, JPEG_LENGTH, DNG_VERSION = 513, 514, 50706
WANTED = {
    NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, ORIENTATION,
    SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS, SUB_IFDS, SAMPLE_FORMAT, JPEG_OFFSET, JPEG_LENGTH, DNG_VERSION,
}  # fmt: skip
TYPES = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}  # whole numbers, by the code of their type

WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1  # of PHOTOMETRIC
UNSIGNED, FLOAT = 1, 3  # of SAMPLE_FORMAT
UNSPECIFIED, PREMULTIPLIED, OPACITY = 0, 1, 2  # of EXTRA_SAMPLES

PAIR = ("RGBA", "RGBA")  # two channels of 16 bits as the four bytes of a pixel, which `greys` puts together
EXTRAS: dict[tuple[int, ...], tuple[str, str]] = {  # the modes of two channels of 8 bits
    (): ("LA", "LA"),
    (UNSPECIFIED,): ("L", "LX"),
    (PREMULTIPLIED,): ("La", "La"),
    (OPACITY,): ("LA", "LA"),
}
GREYS = {  # Pillow's mode and the one in the file, by order and bits
    (b"II", 12): ("I;16", "I;12"),
    (b"MM", 12): ("I;16", "I;12"),
    (b"MM", 16): ("I;16B", "I;16B"),
    (b"II", 32): ("I", "I;32S"),
    (b"MM", 32): ("I", "I;32BS"),
}
NATIVE = {"I;16BS": "I;16S", "I;32BS": "I;32S", "F;32BF": "F;32F"}  # libtiff has turned the bytes already


def register(photometric: int) -> None:
    """Let Pillow open greys of more orders and depths, and those with a second channel."""
    layouts = TiffImagePlugin.OPEN_INFO
    for (order, bits), modes in GREYS.items():
        layouts.setdefault((order, photometric, (UNSIGNED,), 1, (bits,), ()), modes)
    for order, extra in product((b"II", b"MM"), EXTRAS):
        layouts.setdefault((order, photometric, (UNSIGNED,), 1, (8, 8), extra), EXTRAS[extra])
        layouts.setdefault((order, photometric, (UNSIGNED,), 1, (16, 16), extra), PAIR)


register(WHITE_IS_ZERO)
register(BLACK_IS_ZERO)


class Directory(NamedTuple):
    """A picture in a TIFF: some of its tags, how many strips or tiles it has, and where the next directory is."""

    tags: Mapping[int, tuple[int, ...]]
    pieces: int
    at: int
    next: int

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return (self.tags.get(tag) or (default,))[0]


class Structure(NamedTuple):
    """How a TIFF stores its numbers: the `order` of their bytes, whether it is a BigTIFF, and formats for struct."""

    order: str
    entries: str  # how many a directory has
    entry: str  # tag, type, number of values, and the values or their place
    offset: str


def layout(data: bytes) -> Structure:
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:3] == b"+"  # where Pillow looks for it
    return Structure(order, *(order + format for format in (("Q", "HHQ8s", "Q") if is_big else ("H", "HHL4s", "L"))))


def first(data: bytes) -> Directory:
    """Parse the first directory. Raises struct.error."""
    return directory(data, first_place(data))


def first_place(data: bytes) -> int:
    """Return the place of the first directory. Raises struct.error."""
    form = layout(data)
    place: int = struct.unpack_from(form.offset, data, struct.calcsize(form.offset))[0]
    return place


def beginning_with(data: bytes, at: int) -> bytes:
    """Return a TIFF whose first directory is the one at a place in this TIFF."""
    form = layout(data)
    size = struct.calcsize(form.offset)
    return data[:size] + struct.pack(form.offset, at) + data[2 * size :]


def directory(data: bytes, at: int) -> Directory:
    """Parse the directory at a place in a TIFF, except for entries that are cut off. Raises struct.error."""
    form = layout(data)
    (entries,) = struct.unpack_from(form.entries, data, at)
    begin, size = at + struct.calcsize(form.entries), struct.calcsize(form.entry)
    whole = min(entries, (len(data) - begin) // size)
    tags: dict[int, tuple[int, ...]] = {}
    pieces = 0
    for tag, type, count, content in struct.iter_unpack(form.entry, memoryview(data)[begin : begin + whole * size]):
        pieces = max(pieces, count) if tag in (STRIP_OFFSETS, TILE_OFFSETS) else pieces
        if tag in WANTED and tag not in tags:
            tags[tag] = values(data, form, type, count, content)
    end = begin + entries * size
    following = data[end : end + struct.calcsize(form.offset)]
    return Directory(tags, pieces, at, int.from_bytes(following, "little" if form.order == "<" else "big"))


def values(data: bytes, form: Structure, type: int, count: int, content: bytes) -> tuple[int, ...]:
    """Return the first numbers of an entry, none if they are not whole or lie beyond the file."""
    format = form.order + TYPES.get(type, "") * min(count, MAX_VALUES)
    if struct.calcsize(format) > len(content) or count > MAX_VALUES:
        (at,) = struct.unpack(form.offset, content)
        content = data[at : at + struct.calcsize(format)]
    return struct.unpack_from(format, content) if len(content) >= struct.calcsize(format) else ()


def with_native_order(image: TiffImagePlugin.TiffImageFile) -> None:
    """Correct the order of bytes that Pillow expects from libtiff, which is right for 16 unsigned bits only."""
    for i, tile in enumerate(image.tile):
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple) and tile.args[0] in NATIVE:
            image.tile[i] = tile._replace(args=(NATIVE[tile.args[0]], *tile.args[1:]))


def refusal(data: bytes) -> str:
    """Explain why a TIFF cannot be read by what it declares. Raises struct.error."""
    found = first(data)
    channels, bits = found.number(SAMPLES_PER_PIXEL, 1), found.number(BITS_PER_SAMPLE, 1)
    is_float = found.number(SAMPLE_FORMAT, UNSIGNED) == FLOAT
    if (method := found.number(COMPRESSION, 1)) not in TiffImagePlugin.COMPRESSION_INFO:
        return f"This TIFF is compressed by a method that we cannot read ({method}); please save it uncompressed."
    if channels <= 4 and bits <= 16 and not is_float:
        return "This TIFF is damaged or of a kind that we cannot read; please save it as a PNG or JPEG."
    numbers = "floating-point numbers" if is_float else "numbers"
    return (
        f"This TIFF has {quantity(channels, 'channel')} of {bits}-bit {numbers}, and we can read grey, RGB and CMYK "
        "of 8 or 16 bits; please save it with one or three channels as a PNG or JPEG."
    )
