"""Colours in 16 bits of which a file uses fewer. Pillow keeps each value's upper byte; the lower one is read here."""

import sys
from collections.abc import Callable
from typing import cast

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from classifier.photos import greys

OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}  # N is the machine's own
# By Pillow's name for the layout of a file: the layout in which the lower byte is where it looks for the upper one.
LOWER = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBX", "RGBA", "CMYK")
    for order, other in OTHER_ORDER.items()
}
LOWER["LA;16B"] = "RGBA"  # the four bytes of a PNG's grey and opacity
HALF = 128  # of the range of the upper byte


def scale(image: ImageFile, reopened: Callable[[], ImageFile], significant_bits: int = 0) -> None:
    """Scale a loaded image in place by the bits that its colours use, as `greys` does, and its opacity by its own.

    It stays as it is if it has 8 bits, or uses more than half of the range. `reopened` opens its file again.
    """
    is_candidate = image.format in ("PNG", "TIFF") and image.mode in ("RGB", "RGBA", "CMYK")
    if is_candidate and maximum(image) < HALF and (lower := lower_bytes(reopened())):
        image.im = scaled(image, lower, significant_bits or greys.declared_bits(image)).im


def scaled(upper: Image.Image, lower: Image.Image, declared: int) -> Image.Image:
    """Return an 8-bit image from the upper and the lower bytes of one in 16 bits."""
    highest = maximum(upper) << 8 | (255 if maximum(upper) else maximum(lower))
    bands = []
    for name, above, below in zip(upper.getbands(), upper.split(), lower.split(), strict=True):
        values = np.asarray(above).astype(np.uint16) << 8 | np.asarray(below)
        bits = greys.bits_in_use(int(values.max()) if name == "A" else highest, declared)
        bands.append(Image.fromarray(greys.in_8_bits(values, bits)))
    return Image.merge(upper.mode, bands)


def maximum(image: Image.Image) -> int:
    """Return the largest level of the colours, without the opacity."""
    extrema = cast(tuple[tuple[int, int], ...], image.getextrema())
    return max(high for name, (_, high) in zip(image.getbands(), extrema, strict=True) if name != "A")


def lower_bytes(image: ImageFile) -> Image.Image | None:
    """Return the lower bytes of an opened image in 16 bits, in its mode; None if it has 8 bits."""
    arguments = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in image.tile]
    layouts = {str(layout) for layout, *_ in arguments}
    if not layouts <= LOWER.keys():
        return None
    image.tile = [
        tile._replace(args=(LOWER[str(layout)], *rest))
        for tile, (layout, *rest) in zip(image.tile, arguments, strict=True)
    ]
    image.load()
    if layouts != {"LA;16B"}:
        return image
    _, grey, _, opacity = image.split()
    return Image.merge("RGBA", [grey, grey, grey, opacity])
