"""Colours as a picture's ICC profile defines them -> sRGB, which models and pages expect."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

PROFILE = "icc_profile"  # Pillow's name for it in an image's `info`
MAX_PROFILE_BYTES = 4 * 2**20  # those of printing presses have 3 MB
MAX_CONVERSIONS = 8  # kept, since building one takes as long as converting 200,000 pixels
NOTICEABLE = 2  # of 255; a profile that changes less is one of the many variants of sRGB
CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4}  # of the modes that profiles are made for


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
    return found.apply_in_place(image) if image.mode == "RGB" else found.apply(image)  # in place it takes 10% less


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
def conversion(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion of images of `mode` from `profile` to sRGB, by its perceptual intent.

    None if the profile is broken, is made for another mode, or is that of sRGB.
    """
    if b"mpet" in profile:  # steps to compute for every colour, without a limit; cameras and presses use none
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    return found if is_noticeable(found, mode) else None


def is_noticeable(found: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return True if the conversion changes any of some colours from all over the space."""
    levels = [np.arange(0, 256, 17, dtype=np.uint8)] * CHANNELS[mode]
    colours = np.stack(np.meshgrid(*levels), axis=-1).reshape(-1, 1, CHANNELS[mode])
    before = Image.frombytes(mode, (1, len(colours)), colours.tobytes())
    change = np.asarray(before.convert("RGB"), int) - np.asarray(found.apply(before))
    return bool(np.abs(change).max() > NOTICEABLE)
