"""A file that lacks its last bytes is read if nearly all of its rows can be decoded."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.pictures import encoded, textured

from classifier.errors import BrokenImage
from classifier.photos import decode, fit

PHOTO = textured((640, 480))
EVERY_ROW = "The end of this file is missing, but every row of the picture could be read."


def notice(data: bytes, **options) -> str:
    return decode.read(data, **options).info.get("notice", "")


def difference(data: bytes, image: Image.Image = PHOTO) -> float:
    pixels = fit.to_pixels(decode.read(data), (224, 224)).astype(int)
    return float(np.abs(pixels - fit.to_pixels(image, (224, 224))).mean())


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}],
    ids=["baseline", "progressive", "4:4:4", "restarts"],
)
def test_a_jpeg_without_its_end_marker_is_read(options, resize):
    whole = encoded(PHOTO, "JPEG", quality=90, **options)
    for missing in (1, 2):
        assert notice(whole[:-missing], resize=resize) == EVERY_ROW
        assert difference(whole[:-missing]) == difference(whole)
    assert notice(whole) == ""


@pytest.mark.parametrize("size", [(33, 17), (160, 120), (2400, 1800)])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_it_is_read_at_any_size_and_in_any_mode(mode, size):
    assert notice(encoded(textured(size).convert(mode), "JPEG")[:-2]) == EVERY_ROW


def shortened(format: str, share: float, **options) -> bytes:
    data = encoded(PHOTO, format, **options)
    return data[: int(len(data) * share)]


@pytest.mark.parametrize(
    ("format", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("BMP", {}), ("TIFF", {})], ids=str
)
def test_the_missing_rows_are_counted(format, options):
    found = notice(shortened(format, 0.95, **options))
    assert found.startswith("The end of this file is damaged or missing, and with it ")
    assert 1 <= int(found.removesuffix("% of the picture's rows.").rpartition(" ")[2]) <= 10
    with pytest.raises(BrokenImage, match=r"^This image is damaged or incomplete: \d\d% of its rows are missing; "):
        decode.read(shortened(format, 0.6, **options))


def test_a_jpeg_whose_last_bytes_were_overwritten_is_read():
    whole = encoded(PHOTO, "JPEG", quality=90)
    assert notice(whole[:-100] + bytes(100))
    assert difference(whole[:-100] + bytes(100)) < difference(whole) + 1


def test_what_is_missing_is_neither_black_nor_white():
    image = decode.read(shortened("JPEG", 0.95, quality=95))
    assert np.abs(np.asarray(image)[-1].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3])
def test_a_progressive_jpeg_of_which_only_the_first_scans_are_there_is_refused(share):
    with pytest.raises(BrokenImage):
        decode.read(shortened("JPEG", share, quality=95, progressive=True))


def test_a_progressive_jpeg_without_its_last_scan_is_read():
    data = shortened("JPEG", 0.9, quality=95, progressive=True)
    assert notice(data) == EVERY_ROW
    assert difference(data) < 3


def test_a_grey_end_of_a_whole_photo_is_part_of_it():
    photo = PHOTO.copy()
    photo.paste((128, 128, 128), (0, 300, 640, 480))
    assert notice(encoded(photo, "JPEG")) == ""


def test_line_ends_before_a_photo_are_skipped():
    data = encoded(PHOTO, "JPEG")
    np.testing.assert_array_equal(np.asarray(decode.read(b"\r\n\r\n" + data)), np.asarray(decode.read(data)))


def test_a_text_chunk_is_no_notice():
    info = PngInfo()
    info.add_text("notice", "Buy this.")
    data = encoded(PHOTO, pnginfo=info)
    assert Image.open(io.BytesIO(data)).text["notice"]
    assert notice(data) == ""
