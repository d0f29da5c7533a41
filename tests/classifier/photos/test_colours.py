"""Colours are those that the photo's profile defines, whatever the format; a useless profile changes nothing."""

import io
import struct
import zlib

import numpy as np
import pytest
from hostile.images import chunk
from PIL import Image, ImageCms
from support import profiles
from support.pictures import encoded, png_of_16_bits, textured

from classifier.photos import colours, decode, fit

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
    converted = colours.to_srgb(Image.fromarray(np.asarray(stored)), profile)
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


SRGB_CURVE, BT_709, BT_2020, P3 = 13, 1, 9, 12
MATRICES = {  # linear RGB -> XYZ for the white of D65, by the chromaticities of ITU-R BT.709, BT.2020 and SMPTE EG 432
    BT_709: [[0.412391, 0.357584, 0.180481], [0.212639, 0.715169, 0.072192], [0.019331, 0.119195, 0.950532]],
    BT_2020: [[0.636958, 0.144617, 0.168881], [0.262700, 0.677998, 0.059302], [0.0, 0.028073, 1.060985]],
    P3: [[0.486571, 0.265668, 0.198217], [0.228975, 0.691739, 0.079287], [0.0, 0.045113, 1.043944]],
}


def in_srgb(light: np.ndarray, primaries: int) -> np.ndarray:
    """Return light (..., 3) of some primaries as levels of sRGB, 0 to 255."""
    linear = light @ np.array(MATRICES[primaries]).T @ np.linalg.inv(MATRICES[BT_709]).T
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def light_of(levels: np.ndarray) -> np.ndarray:
    """Return the light that levels of sRGB's curve, 0 to 255, mean."""
    values = levels / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


PALE = np.random.default_rng(0).integers(70, 190, (8, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def numbered(format: str, primaries: int, transfer: int, **options) -> bytes:
    """Return a picture of `PALE` that declares its colours by two numbers of ITU-T H.273."""
    image = Image.fromarray(PALE)
    if format == "PNG":
        png = encoded(image, **options)
        at = png.index(b"IDAT") - 4
        return png[:at] + chunk(b"cICP", bytes([primaries, transfer, 0, 1])) + png[at:]
    data = encoded(image, format, quality=100, **options)
    at = data.index(b"colrnclx") + len(b"colrnclx")
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("primaries", [P3, BT_2020])
@pytest.mark.parametrize("format", ["PNG", "AVIF", "HEIF"])
def test_colours_are_those_of_the_numbers_that_a_file_declares(format, primaries, resize):
    pytest.importorskip("pillow_heif")
    data = numbered(format, primaries, SRGB_CURVE)
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    expected = in_srgb(light_of(stored), primaries)
    assert difference(expected, stored) > 5
    assert difference(fit.to_pixels(decode.read(data, resize=resize), (64, 64), "stretch"), expected) < 1


@pytest.mark.parametrize(("primaries", "transfer"), [(BT_709, SRGB_CURVE), (BT_709, 1), (2, 2), (77, 99)])
def test_numbers_of_srgb_and_unknown_ones_change_no_pixel(primaries, transfer):
    np.testing.assert_array_equal(shown(numbered("PNG", primaries, transfer)), PALE)


def test_a_profile_counts_before_the_numbers_of_an_avif_and_after_those_of_a_png():
    profile = WIDE["ProPhoto"]
    with_profile = shown(encoded(Image.fromarray(PALE), "AVIF", quality=100, icc_profile=profile))
    np.testing.assert_array_equal(shown(numbered("AVIF", P3, SRGB_CURVE, icc_profile=profile)), with_profile)
    alone = shown(numbered("PNG", P3, SRGB_CURVE))
    np.testing.assert_array_equal(shown(numbered("PNG", P3, SRGB_CURVE, icc_profile=profile)), alone)


def test_linear_light_becomes_levels():
    expected = in_srgb(PALE / 255, BT_709)
    assert np.abs(shown(numbered("PNG", BT_709, 8)) - expected).max() <= 1


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58069), (18, 0.75)])
def test_white_paper_in_hdr_is_white_and_black_is_black(transfer, white):
    """ITU-R BT.2408 puts white paper at 58% of PQ and at 75% of HLG; half of its light is level 188."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 16:32] = round(255 * white * 0.75)
    pixels[:, 32:] = round(255 * white)
    png = encoded(Image.fromarray(pixels))
    at = png.index(b"IDAT") - 4
    levels = shown(png[:at] + chunk(b"cICP", bytes([BT_2020, transfer, 0, 1])) + png[at:])[0, :, 0]
    assert levels[0] == 0
    assert 60 < levels[20] < 220
    assert levels[40] > 250


def test_lab_is_converted():
    lab = Image.fromarray(np.full((64, 64, 3), [round(0.55 * 255), 256 - 37, 256 - 50], np.uint8), "LAB")
    assert np.abs(shown(encoded(lab, "TIFF")).mean(axis=(0, 1)) - CYAN_IN_SRGB).max() < 8
