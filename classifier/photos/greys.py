"""Greys in more than 8 bits, and the ways in which TIFF stores grey -> 8 bits, black being 0."""

from collections.abc import Iterator
from math import isfinite

import numpy as np
from PIL import Image, ImageChops
from PIL.TiffImagePlugin import TiffImageFile

from classifier.photos import tiff


def to_8_bit(image: Image.Image, significant_bits: int = 0) -> Image.Image:
    """Return a loaded image in 8 bits per channel: a new one if it has deeper ones, or a TIFF in which 0 is white.

    16 bits are scaled by the bits in use: those that the file declares (a PNG by `significant_bits`) if they hold all
    values, otherwise the smallest number that does. 32 bits and floats are scaled by their own range.
    """
    if isinstance(image, TiffImageFile) and tag(image, tiff.SAMPLES_PER_PIXEL) == 2:
        pair = from_pairs_of_16_bits(image) if image.mode == "RGBA" else image
        return with_black_as_zero(pair.convert("LA") if pair.mode == "La" else pair, image)
    if image.mode.startswith("I;16"):
        grey = by_bits(np.asarray(image), significant_bits or declared_bits(image))
    elif image.mode in ("I", "F"):
        grey = by_range(numbers(image), tag(image, tiff.S_MAX_SAMPLE_VALUE))
    else:
        return image
    return with_black_as_zero(Image.fromarray(grey), image)


def by_bits(values: np.ndarray, declared: int) -> np.ndarray:
    """Scale uint16 of any shape to uint8: by the `declared` number of bits, or by the smallest that holds all values.

    Values that fill more than half of the range keep their upper 8 bits.
    """
    return in_8_bits(values, bits_in_use(int(values.max()), declared))


def bits_in_use(largest: int, declared: int) -> int:
    """Return the `declared` number of bits, or the smallest that holds the largest value."""
    return declared if largest < 2**declared else largest.bit_length()


def in_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale values, uint16, that use a number of bits to uint8."""
    levels = values >> (bits - 8) if bits >= 8 else values * 255 // max(1, 2**bits - 1)
    return levels.astype(np.uint8)


def by_range(values: np.ndarray, white: float) -> np.ndarray:
    """Scale numbers (height, width) to uint8: the smallest to black, `white` or a larger value to white."""
    low = min((float(row.min()) for row in finite_rows(values)), default=0.0)
    high = max((float(row.max()) for row in finite_rows(values)), default=1.0)
    source, target = (low, max(high, white) if max(high, white) > low else low + 1), (0, 255)

    def row_to_8_bit(row: np.ndarray) -> np.ndarray:  # one at a time, as interp computes in 64 bits
        scaled: np.ndarray = np.interp(np.nan_to_num(row, nan=low), source, target)
        return scaled.round().astype(np.uint8)

    return np.stack([row_to_8_bit(row) for row in values])


def finite_rows(values: np.ndarray) -> Iterator[np.ndarray]:
    for row in values:
        if (finite := row[np.isfinite(row)]).size:
            yield finite


def numbers(image: Image.Image) -> np.ndarray:
    """Return 32-bit values as they are meant: Pillow takes the unsigned ones of a TIFF for signed ones."""
    values = np.asarray(image)
    declared = tag(image, tiff.BITS_PER_SAMPLE), tag(image, tiff.SAMPLE_FORMAT, tiff.UNSIGNED)
    return values.view(np.uint32) if declared == (32, tiff.UNSIGNED) else values


def from_pairs_of_16_bits(image: TiffImageFile) -> Image.Image:
    """Return grey and opacity, opened as `tiff.PAIR`, in 8 bits; opacity is left out if the second channel is not."""
    is_big = image.info.get("compression") == "raw" and image.tag_v2.prefix == b"MM"  # libtiff turns bytes around
    channels = np.asarray(image).view(">u2" if is_big else "<u2")  # (height, width, 2)
    grey, opacity = (by_bits(channels[..., i], declared_bits(image)) for i in (0, 1))
    second = tag(image, tiff.EXTRA_SAMPLES, tiff.OPACITY)
    if second == tiff.UNSPECIFIED:
        return Image.fromarray(grey)
    mode = "La" if second == tiff.PREMULTIPLIED else "LA"
    return Image.frombytes(mode, image.size, np.stack([grey, opacity], axis=-1).tobytes())


def with_black_as_zero(image: Image.Image, source: Image.Image) -> Image.Image:
    """Return the grey of a TIFF, perhaps with opacity, turned over if 0 is white in its `source`."""
    if tag(source, tiff.PHOTOMETRIC, tiff.BLACK_IS_ZERO) != tiff.WHITE_IS_ZERO:
        return image
    grey, *opacity = image.split()
    return Image.merge(image.mode, [ImageChops.invert(grey), *opacity])


def declared_bits(image: Image.Image) -> int:
    """Return how many of 16 bits a TIFF declares to use, 0 if it does not."""
    bits = int(tag(image, tiff.BITS_PER_SAMPLE))
    return min(int(tag(image, tiff.S_MAX_SAMPLE_VALUE)).bit_length(), 16) or (bits if bits < 16 else 0)


def tag(image: Image.Image, name: int, default: float = 0) -> float:
    """Return a TIFF's tag, or its first value; `default` for what is no number, and in other formats."""
    value = image.tag_v2.get(name, default) if isinstance(image, TiffImageFile) else default
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int | float) and isfinite(value) and value >= 0 else default
