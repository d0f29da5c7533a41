"""Colours of an ICC profile that consists of curves and a matrix -> sRGB, in half the time of LittleCMS.

Source: ICC.1:2010, sections 8.3.3, 10.5 (curves) and 10.15 (parametric curves).
"""

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from classifier.photos import cicp

TAGS, MAX_TAGS = 128, 100  # where a profile lists them, and as many as LittleCMS reads
WHITE = 2**14 - 1  # linear light in steps, of which the darkest levels of sRGB are five wide
FIELD = 18  # bits for one channel's light, of which `ZERO` stands for none: a wide colour has less than none
ZERO = 2 ** (FIELD - 1)
FIELDS = [FIELD * channel for channel in range(3)]
AT_ONCE = 2**16  # pixels: what they need is in a core's cache, and is not new memory each time


@dataclass(frozen=True)
class Shaper:
    """The conversion of RGB to sRGB: what each level of each channel adds to all three of sRGB's, as linear light."""

    shares: np.ndarray  # int64 (3, 256): one field for each of sRGB's channels

    def __call__(self, image: Image.Image) -> Image.Image:
        """Convert an image of mode RGB to sRGB, in place, and return it."""
        rows = max(1, AT_ONCE // image.width)
        for top in range(0, image.height, rows):
            box = (0, top, image.width, min(top + rows, image.height))
            image.paste(self._converted(image.crop(box)), box)
        return image

    def _converted(self, image: Image.Image) -> Image.Image:
        red, green, blue = (np.asarray(band).ravel() for band in image.split())
        light = self.shares[0].take(red)
        light += self.shares[1].take(green)
        light += self.shares[2].take(blue)
        levels = (srgb_levels().take(light >> field & (2**FIELD - 1)) for field in FIELDS)
        return Image.merge("RGB", [Image.frombuffer("L", image.size, band, "raw", "L", 0, 1) for band in levels])


@np.errstate(all="ignore")  # no camera's numbers overflow
def read(profile: bytes) -> Shaper | None:
    """Return the conversion by a profile's curves and matrix, None if it lacks them or its curves are rare."""
    try:
        tags = tags_of(profile)
        curves = [curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [numbers(tags[name][8:], 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (KeyError, IndexError, struct.error, ValueError):
        return None
    primaries = np.linalg.solve(np.transpose(cicp.PRIMARIES[cicp.BT_709]), np.transpose(columns)).T  # in sRGB's
    light = np.rint(WHITE * np.array(curves)[:, :, None] * primaries[:, None, :]).astype(np.int64)  # (3, 256, 3)
    light[0] += ZERO
    return Shaper((light << FIELDS).sum(axis=-1))


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, TAGS)
    table = struct.iter_unpack(">4sII", profile[TAGS + 4 :][: 12 * min(count, MAX_TAGS)])
    return {name: profile[at : at + size] for name, at, size in table}


def curve(tag: bytes) -> np.ndarray:
    """Return the light of 256 levels, 0 to 1. Raises ValueError for kinds of curves that are not read here."""
    levels = np.linspace(0, 1, 256)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return np.asarray(levels ** (values[0] / 256))
        return np.interp(levels, np.linspace(0, 1, count), values / 65_535) if count else levels
    if tag[:4] != b"para" or tag[9] not in (0, 3):
        raise ValueError
    power, *bend = numbers(tag[12:], 5 if tag[9] else 1)
    if not bend:
        return np.asarray(levels**power)
    factor, offset, slope, end = bend
    return np.where(levels < end, slope * levels, np.maximum(factor * levels + offset, 0) ** power)


def numbers(data: bytes, count: int) -> list[float]:
    return [number / 65_536 for number in struct.unpack_from(f">{count}i", data)]


@cache
def srgb_levels() -> np.ndarray:
    """Return the level of sRGB, uint8, for every value of a field. Source: IEC 61966-2-1."""
    light = ((np.arange(2**FIELD) - ZERO) / WHITE).clip(0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((255 * values).round(), np.uint8)
