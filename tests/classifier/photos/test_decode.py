"""Every image in common use gives the right pixels; everything else gives one of our errors."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hostile.images import BUGS, TEXT, png, progressive, webp
from PIL import Image, ImageOps
from support.environ import PYTHONPATH
from support.pictures import encoded, picture, textured

from classifier.errors import BrokenImage, ClassifierError, NoImage, TooLarge, UnsupportedImage
from classifier.photos import decode, fit

SIZE = (224, 224)
ORIENTATION = 0x0112


def average(data: bytes) -> list[int]:
    return np.asarray(decode.read(data)).mean(axis=(0, 1)).round().astype(int).tolist()


def crop_oracle(image: Image.Image, side: int = 224) -> np.ndarray:
    """Crop by hand: shorter side to 256, bicubic, then the centre."""
    scale = side * 8 / 7 / min(image.size)
    resized = image.resize([round(length * scale) for length in image.size], Image.Resampling.BICUBIC)
    left, upper = (resized.width - side) // 2, (resized.height - side) // 2
    return np.asarray(resized.crop((left, upper, left + side, upper + side)))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (640, 480), (100, 60), (2000, 300)])
def test_crop_equals_resizing_and_cutting_by_hand(size):
    image = textured(size)
    ours = fit.to_pixels(decode.read(encoded(image)), SIZE)
    assert ours.shape == (224, 224, 3)
    assert ours.dtype == np.uint8
    assert difference(ours, crop_oracle(image)) < 1.0
    assert difference(ours, fit.to_pixels(image, SIZE, "stretch")) > 5 or size[0] == size[1]


@pytest.mark.parametrize("size", [(299, 299), (331, 331), (240, 240)])
def test_crop_keeps_its_proportions_at_other_sizes(size):
    ours = fit.to_pixels(textured((800, 600)), size)
    # The oracle cuts at whole pixels: up to half of one off.
    assert difference(ours, crop_oracle(textured((800, 600)), size[0])) < 2.0


@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_eight_exif_orientations_of_one_picture_give_one_answer(resize):
    upright = textured((500, 375))
    expected = fit.to_pixels(upright, SIZE, resize)
    turned_back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that a viewer undoes
    for orientation, method in turned_back.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = upright if method is None else upright.transpose(Image.Transpose(method))
        data = encoded(stored, "PNG", exif=exif)
        np.testing.assert_array_equal(fit.to_pixels(decode.read(data, SIZE, resize), SIZE, resize), expected)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow says so and goes on, as we want it to
def test_a_photo_with_broken_exif_is_still_read():
    data = picture("red", format="JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\xff\xff")
    assert decode.read(data).size == (320, 240)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, [255, 255, 255]),
        ("L", 128, [128, 128, 128]),
        ("LA", (0, 0), [255, 255, 255]),
        ("RGBA", (255, 0, 0, 255), [255, 0, 0]),
        ("RGBA", (255, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 128), [127, 127, 127]),
        ("I;16", 65_535, [255, 255, 255]),
        ("I;16", 32_896, [128, 128, 128]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_png_modes_become_rgb_on_white(mode, colour, expected):
    assert average(encoded(Image.new(mode, (64, 64), colour))) == expected


@pytest.mark.parametrize("mode", ["I", "F", "CMYK", "L"])
def test_tiff_modes_keep_their_picture(mode):
    grey = textured().convert("L")
    source = textured().convert("CMYK") if mode == "CMYK" else grey.convert(mode)
    ours = np.asarray(decode.read(encoded(source, "TIFF")))
    stretched = ImageOps.autocontrast(grey) if mode in "IF" else grey  # 32 bits have no natural white
    expected = textured() if mode == "CMYK" else stretched.convert("RGB")
    assert difference(ours, np.asarray(expected)) < 3


def test_cmyk_jpeg_is_read_in_its_colours():
    red, green, blue = average(encoded(Image.new("RGB", (64, 64), "red").convert("CMYK"), "JPEG"))
    assert red > 200
    assert max(green, blue) < 60


def test_palette_transparency_is_laid_over_white():
    gif = encoded(Image.new("P", (64, 64), 0), "GIF", transparency=0)
    assert average(gif) == [255, 255, 255]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_read_by_its_first_frame(format):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    data = encoded(
        frames[0], format, save_all=True, append_images=frames[1:], **{"WEBP": {"lossless": True}}.get(format, {})
    )
    assert average(data) == [255, 0, 0]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "MPO", "HEIF"])
def test_every_promised_format_is_read_whatever_its_name(format):
    ours = np.asarray(decode.read(encoded(textured(), format)))
    assert difference(ours, np.asarray(textured())) < 12  # GIF has 256 colours


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_with_the_same_answer():
    photo = textured((2400, 1800))
    data = encoded(photo, "JPEG", quality=95)
    reduced = decode.read(data)
    assert reduced.size == (1200, 900)
    assert difference(fit.to_pixels(reduced, SIZE), crop_oracle(photo)) < 1.5
    assert decode.read(data, resize="stretch").size == photo.size


def test_the_preview_is_a_small_jpeg_without_metadata():
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    data = encoded(textured((3000, 1000)), "JPEG", exif=exif, comment=b"secret comment", icc_profile=b"secret profile")
    preview = fit.to_preview(decode.read(data))
    shown = Image.open(io.BytesIO(preview))
    assert shown.format == "JPEG"
    assert max(shown.size) == 1024
    assert b"secret" not in preview
    assert not shown.getexif()


def jpeg_in_scans(width: int, height: int) -> bytes:
    """Return a grey baseline JPEG with a scan for each channel, so that a decoder must hold the whole image."""
    tables = b"\xff\xdb\0\x43\0" + b"\1" * 64
    for kind in (0x00, 0x10):  # one code of one bit, for "nothing here"
        tables += b"\xff\xc4\0\x14" + bytes([kind, 1]) + b"\0" * 15 + b"\0"
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HHB", height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    blocks = -(-width // 8) * -(-height // 8)
    scans = [b"\xff\xda\0\x08\1" + bytes([i]) + b"\0\0\x3f\0" + b"\0" * (blocks * 2 // 8 + 1) for i in (1, 2, 3)]
    return b"\xff\xd8" + tables + frame + b"".join(scans) + b"\xff\xd9"


def test_a_jpeg_that_has_to_be_held_whole_counts_whole():
    assert decode.read(jpeg_in_scans(1600, 1600)).size == (800, 800)
    with pytest.raises(TooLarge):
        decode.read(jpeg_in_scans(1600, 1600), max_megapixels=1)


def test_a_tile_larger_than_its_tiff_counts():
    huge = b"II*\0\x08\0\0\0"
    tags = {256: 100, 257: 100, 258: 8, 259: 8, 262: 1, 277: 1, 322: 40_000, 323: 40_000, 324: 200, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with pytest.raises(TooLarge, match="1,600 megapixels"):
        decode.read(huge + struct.pack("<H", len(tags)) + entries + b"\0" * 200)


@pytest.mark.parametrize("strange", [np.inf, -np.inf, np.nan])
def test_a_strange_number_in_a_float_tiff_does_not_black_it_out(strange):
    values = np.asarray(textured().convert("L"), dtype=np.float32).copy()
    values[5, 5] = strange
    ours = np.asarray(decode.read(encoded(Image.fromarray(values), "TIFF")))
    assert difference(ours, np.asarray(ImageOps.autocontrast(textured().convert("L")).convert("RGB"))) < 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "F", "1"])
def test_a_large_image_of_any_mode_gives_the_answer_of_a_small_one(mode):
    grey = textured((2000, 1600)).convert("L")
    large = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    data = encoded(large, "TIFF" if mode in ("CMYK", "F") else "PNG", exif=exif)
    ours = fit.to_pixels(decode.read(data), SIZE)
    seen = {"F": ImageOps.autocontrast(grey), "I;16": grey}.get(mode, large)
    assert difference(ours, crop_oracle(seen.convert("RGB"))[::-1, ::-1]) < 4


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
BAD = {
    "empty": (b"", NoImage),
    "text": (b"just some words", UnsupportedImage),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedImage),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", UnsupportedImage),
    "html in a gif's clothes": (b"GIF89a/*<html><script>alert(1)</script></html>*/=1;", UnsupportedImage),
    "truncated jpeg": (encoded(textured(), "JPEG")[:3000], BrokenImage),
    "truncated png": (encoded(textured(), "PNG")[:3000], BrokenImage),
    "truncated webp": (encoded(textured(), "WEBP")[:1000], BrokenImage),
    "half an avif": (encoded(textured(), "AVIF")[:400], ClassifierError),
    "50 000 x 50 000 png": (png(50_000, 50_000), TooLarge),
    "one very long line": (png(1, 40_000_000), TooLarge),
    "64 MB of png text": (png(10, 10, TEXT), BrokenImage),
    "webp that declares 13377 x 13377": (webp(13_377, 13_377), TooLarge),
    "heic": (HEIC, ClassifierError),
}


@pytest.mark.parametrize(("data", "error"), BAD.values(), ids=BAD)
def test_bad_images_become_our_errors(data, error):
    with pytest.raises(error) as raised:
        decode.read(data)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_heic_photo_is_told_how_to_become_a_jpeg(monkeypatch):
    monkeypatch.setattr(decode, "HEIF", False)
    with pytest.raises(UnsupportedImage, match="export it as a JPEG"):
        decode.read(HEIC)


@pytest.mark.parametrize(
    "exception",
    [OSError, SyntaxError, ValueError, MemoryError, OverflowError, NotImplementedError, struct.error, KeyError,
     Image.DecompressionBombError, RecursionError, AssertionError, EOFError, zlib.error],
)  # fmt: skip
def test_whatever_pillow_raises_becomes_ours(exception):
    with pytest.raises(ClassifierError) as raised, decode.image_errors():
        raise exception("internals that nobody should read")
    assert "internals" not in str(raised.value)
    assert isinstance(raised.value.__cause__, exception)


def test_pixels_are_limited_by_the_header():
    with pytest.raises(TooLarge, match="12 megapixels, more than the 10 allowed"):
        decode.read(encoded(Image.new("1", (4000, 3000))), max_megapixels=10)


def test_a_jpeg_counts_at_the_scale_it_is_decoded_at():
    large = picture(size=(4000, 3000), format="JPEG")
    assert decode.read(large, max_megapixels=1).size == (1000, 750)
    with pytest.raises(TooLarge):
        decode.read(large, resize="stretch", max_megapixels=1)
    with pytest.raises(TooLarge):
        decode.read(picture(size=(4000, 3000), format="JPEG", progressive=True), max_megapixels=1)


@pytest.fixture(scope="module")
def measured():
    """The cost of reading each of the files that once took too much time or memory."""
    environ = {**os.environ, **PYTHONPATH}
    done = subprocess.run([sys.executable, "-m", "hostile.measure"], capture_output=True, check=True, env=environ)
    assert len(done.stderr) < 1000
    return {name: outcome for name, *outcome in json.loads(done.stdout)}


@pytest.mark.parametrize("name", BUGS)
def test_a_file_that_once_cost_too_much_is_told_so_soon(measured, name):
    error, cpu_s, added_mb = measured[name]
    assert error == BUGS[name][1]
    assert cpu_s < 5
    assert added_mb < 200


@pytest.mark.parametrize(("scans", "is_read"), [(96, True), (120, False)])
def test_a_jpeg_may_have_100_scans(scans, is_read):
    data = progressive(80, 80, scans)
    if is_read:
        assert decode.read(data).size == (80, 80)
    else:
        with pytest.raises(TooLarge, match="100 scans"):
            decode.read(data)


def test_what_looks_like_a_scan_in_a_thumbnail_or_behind_the_image_is_none():
    photo = encoded(textured(), "JPEG", progressive=True)
    scans = b"\xff\xda\0\2" * 500
    comment = b"\xff\xfe" + struct.pack(">H", len(scans) + 2) + scans
    assert decode.read(photo[:2] + comment + photo[2:] + scans).size == (320, 240)


def test_an_mpo_is_read_by_its_first_picture_alone():
    first, second = textured(), Image.new("RGB", (20, 20))
    many = encoded(first, "MPO", save_all=True, append_images=[second] * 150)
    assert difference(np.asarray(decode.read(many)), np.asarray(first)) < 3
