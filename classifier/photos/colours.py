"""Colours as a picture's ICC profile defines them -> sRGB, which models and pages expect."""

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from classifier.photos.shaper import read as read_shaper

PROFILE = "icc_profile"  # Pillow's name for it in an image's `info`
MAX_PROFILE_BYTES = 4 * 2**20  # those of printing presses have 3 MB
MAX_CONVERSIONS = 8  # kept, since building one takes as long as converting 200,000 pixels
ROUNDING = 1  # of 255
NOTICEABLE = 2  # of 255; a profile that changes less is one of the many variants of sRGB
CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4}  # of the modes that profiles are made for
Conversion = Callable[[Image.Image], Image.Image]


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert any 8-bit image to RGB, without its transparency, and from its `profile` to sRGB if that fits its mode.

    May change the pixels of `image`.
    """
    if image.mode == "LAB":
        return from_lab().apply(image)
    if image.mode == "P" and profile:
        image = with_srgb_palette(image, profile)
        profile = b""
    image = opaque(image)
    found = conversion(profile, image.mode) if 0 < len(profile) <= MAX_PROFILE_BYTES else None
    if found is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return found(image)


def opaque(image: Image.Image) -> Image.Image:
    """Return the image without transparency, in one of the modes of `CHANNELS`."""
    if image.mode in CHANNELS:
        return image
    if image.mode in ("1", "LA"):
        return image.convert("L")
    return (image.convert("RGBA") if image.has_transparency_data else image).convert("RGB")


def with_srgb_palette(image: Image.Image, profile: bytes) -> Image.Image:
    """Return an image with a palette in sRGB: to convert its 256 colours costs less than to convert its pixels."""
    palette = bytes(image.getpalette("RGB") or b"")
    colours = to_srgb(Image.frombytes("RGB", (len(palette) // 3, 1), palette), profile)
    image.putpalette(colours.tobytes(), "RGB")
    return image


@lru_cache
def from_lab() -> ImageCms.ImageCmsTransform:
    """Return the conversion of a TIFF's CIE L*a*b* to sRGB."""
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


@lru_cache(MAX_CONVERSIONS)
def conversion(profile: bytes, mode: str) -> Conversion | None:
    """Return the conversion of images of `mode` from `profile` to sRGB, by its perceptual intent.

    None if the profile is broken, is made for another mode, or is that of sRGB. LittleCMS' conversion, or a faster one
    that gives the same colours.
    """
    if b"mpet" in profile:  # steps to compute for every colour, without a limit; cameras and presses use none
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    before = samples(mode)
    after = found.apply(before)
    if difference(before.convert("RGB"), after) <= NOTICEABLE:
        return None
    if mode != "RGB":
        return lambda image: found.apply(image)
    shaper = read_shaper(profile)
    if shaper and difference(shaper(before), after) <= ROUNDING:
        return shaper
    return found.apply_in_place  # which takes 10% less


def samples(mode: str) -> Image.Image:
    """Return some colours from all over the space."""
    levels = [np.arange(0, 256, 17, dtype=np.uint8)] * CHANNELS[mode]
    colours = np.stack(np.meshgrid(*levels), axis=-1).reshape(-1, 1, CHANNELS[mode])
    return Image.frombytes(mode, (1, len(colours)), colours.tobytes())


def difference(a: Image.Image, b: Image.Image) -> int:
    """Return the largest difference between two RGB images in any channel of any pixel."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())
