"""Colours are those that the photo's profile defines, whatever the format; a useless profile changes nothing."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from support import profiles
from support.pictures import encoded, png_of_16_bits, textured

from classifier.photos import decode, fit

SRGB = ImageCms.createProfile("sRGB")
WIDE = {"Display P3": profiles.wide(), "ProPhoto": profiles.wide(profiles.PROPHOTO, 1.8)}


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def as_stored(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the values that a camera with this profile stores for an sRGB picture."""
    return ImageCms.profileToProfile(image, SRGB, opened(profile))


def shown(data: bytes, **options) -> np.ndarray:
    return np.asarray(decode.read(data, **options)).astype(int)


def difference(a: np.ndarray, b) -> float:
    return float(np.abs(a - np.asarray(b, int)).mean())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("space", WIDE)
def test_wide_colours_become_srgb_in_every_format(format, space):
    photo, profile = textured(), WIDE[space]
    stored = as_stored(photo, profile)
    assert difference(np.asarray(stored, int), photo) > 8
    ours = shown(encoded(stored, format, icc_profile=profile, quality=95))
    assert difference(ours, photo) < 3


def test_a_large_photo_keeps_its_colours_in_pixels_and_preview():
    photo, profile = textured((2400, 1800)), WIDE["ProPhoto"]
    data = encoded(as_stored(photo, profile), "JPEG", icc_profile=profile, quality=95)
    image = decode.read(data)
    plain = decode.read(encoded(photo, "JPEG", quality=95))
    assert difference(fit.to_pixels(image, (224, 224)).astype(int), fit.to_pixels(plain, (224, 224))) < 2
    preview = Image.open(io.BytesIO(fit.to_preview(image)))
    assert difference(np.asarray(preview, int), Image.open(io.BytesIO(fit.to_preview(plain)))) < 3
    assert "icc_profile" not in preview.info


@pytest.mark.parametrize("mode", ["RGBA", "P", "P with transparency"])
def test_wide_colours_beside_transparency_and_in_palettes(mode):
    photo, profile = textured(), WIDE["ProPhoto"]
    stored = as_stored(photo, profile).quantize(64) if mode.startswith("P") else as_stored(photo, profile)
    seen = ImageCms.profileToProfile(stored.convert("RGB"), opened(profile), SRGB)
    options = {"transparency": b"\xff" * 64} if "with" in mode else {}
    if mode == "RGBA":
        stored.putalpha(255)
    ours = shown(encoded(stored, icc_profile=profile, **options))
    assert difference(ours, seen) < 2


def test_a_colour_png_of_16_bits_is_converted():
    photo, profile = textured(), WIDE["ProPhoto"]
    stored = np.asarray(as_stored(photo, profile)).astype(np.uint16) * 257
    assert difference(shown(png_of_16_bits(stored, iCCP=b"x\0\0" + zlib.compress(profile))), photo) < 3


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "L with transparency"])
def test_grey_is_what_its_profile_defines(mode):
    """Half of the light is level 188 in sRGB, and level 128 where levels count the light."""
    grey = Image.new("I;16", (64, 64), 128 * 257) if mode == "I;16" else Image.new(mode[:2].strip(), (64, 64), 128)
    if mode == "LA":
        grey.putalpha(255)
    options = {"transparency": 3} if "with" in mode else {}
    ours = shown(encoded(grey, icc_profile=profiles.grey(1.0), **options))
    assert np.abs(ours - 188).max() <= 1


CYAN, PAPER = (255, 0, 0, 0), (0, 0, 0, 0)
CYAN_IN_SRGB = (0, 151, 218)  # of L*a*b* (55, -37, -50), by the formulas of CIE and IEC 61966-2-1


def without_adobes_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def stored_by(program: str, inks: tuple[int, ...], **options) -> bytes:
    """Return an area of `inks`, 0 to 255 each: Adobe stores in a JPEG how much paper shows, others the ink."""
    if program == "TIFF":
        return encoded(Image.new("CMYK", (64, 64), inks), "TIFF", **options)
    if program == "Adobe":
        return encoded(Image.new("CMYK", (64, 64), inks), "JPEG", **options)
    paper = Image.new("CMYK", (64, 64), tuple(255 - ink for ink in inks))
    return without_adobes_marker(encoded(paper, "JPEG", **options))


@pytest.mark.parametrize("program", ["TIFF", "Adobe", "others"])
def test_inks_have_the_colours_of_their_profile(program):
    data = stored_by(program, CYAN, icc_profile=profiles.inks())
    assert np.abs(shown(data).mean(axis=(0, 1)) - CYAN_IN_SRGB).max() < 8
    assert shown(stored_by(program, PAPER, icc_profile=profiles.inks())).min() > 250


@pytest.mark.parametrize("program", ["TIFF", "Adobe", "others"])
def test_inks_without_a_profile_are_no_negative(program):
    red, green, blue = shown(stored_by(program, CYAN)).mean(axis=(0, 1))
    assert red < 10
    assert min(green, blue) > 245
    assert shown(stored_by(program, PAPER)).min() > 245


USELESS = {
    "empty": b"",
    "not a profile": b"colours" * 99,
    "cut off": WIDE["ProPhoto"][:300],
    "of grey": profiles.grey(1.0),
    "of inks": profiles.inks(),
    "sRGB": ImageCms.ImageCmsProfile(SRGB).tobytes(),
    "of 5 MB": WIDE["ProPhoto"] + bytes(5 * 2**20),
    "with a program": WIDE["ProPhoto"].replace(b"wtpt", b"mpet"),
}


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("profile", USELESS.values(), ids=USELESS)
def test_a_useless_profile_changes_no_pixel(profile, resize):
    photo = textured((700, 600))
    with_profile, without = (encoded(photo, "JPEG", icc_profile=given) for given in (profile, b""))
    ours, plain = (decode.read(data, resize=resize) for data in (with_profile, without))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(plain))
    np.testing.assert_array_equal(*(fit.to_pixels(image, (96, 96), resize) for image in (ours, plain)))


@pytest.mark.parametrize("size", [(700, 500), (1500, 1100)])
def test_stretching_gives_the_pixels_that_a_converted_photo_would(size):
    """Nearest neighbours are the same before the conversion and after it; a preview is an average, made before it."""
    photo, profile = textured(size), WIDE["ProPhoto"]
    stored = as_stored(photo, profile)
    image = decode.read(encoded(stored, icc_profile=profile), resize="stretch")
    converted = ImageCms.profileToProfile(stored, opened(profile), SRGB)
    expected = fit.to_pixels(converted, (96, 64), "stretch")
    for _ in range(2):  # neither changes the image
        np.testing.assert_array_equal(fit.to_pixels(image, (96, 64), "stretch"), expected)
        preview = Image.open(io.BytesIO(fit.to_preview(image)))
        assert difference(np.asarray(preview, int), Image.open(io.BytesIO(fit.to_preview(converted)))) < 3
        assert "icc_profile" not in preview.info


def test_stretching_converts_as_well():
    photo, profile = textured(), WIDE["Display P3"]
    data = encoded(as_stored(photo, profile), icc_profile=profile)
    pixels = fit.to_pixels(decode.read(data, resize="stretch"), (224, 224), "stretch").astype(int)
    assert difference(pixels, fit.to_pixels(photo, (224, 224), "stretch")) < 2
