"""A camera's raw photo is read from the largest picture inside, upright, or refused."""

import struct

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, textured
from support.tiffs import Picture, plain, tiff

from classifier.errors import UnsupportedImage
from classifier.photos import decode, fit

LARGE = textured((640, 480))
SMALL = Image.new("RGB", (160, 120), "red")
JPEG_TAGS = (513, 514)
SENSOR, LINEAR, RGB = 32_803, 34_892, 2
REFUSED = r"^This is a camera's raw photo; please export a JPEG\.$"


def jpeg(image: Image.Image, **options) -> bytes:
    return encoded(image, "JPEG", quality=95, **options)


def thumbnail(**tags) -> Picture:
    return plain(np.asarray(SMALL), RGB, tag_254=1, **tags)


def sensor(photometric: int = SENSOR, **tags) -> Picture:
    """Return what stands for the values of a sensor; in reality they are compressed in ways of the camera's own."""
    return plain(np.full((600, 800), 500, "<u2"), photometric, **tags)


def preview(data: bytes, **tags) -> Picture:
    return Picture({254: [1], 259: [6], **{int(name[4:]): [value] for name, value in tags.items()}}, data, JPEG_TAGS)


LOSSLESS = b"\xff\xd8\xff\xc3\0\x0e" + struct.pack(">BHHB", 14, 600, 800, 2) + b"\0" * 500
CAMERAS = {
    "NEF": tiff(thumbnail(), subs=[preview(jpeg(LARGE)), sensor()]),
    "NEF, big-endian": tiff(thumbnail(), subs=[preview(jpeg(LARGE)), sensor()], order=">"),
    "ARW": tiff(preview(jpeg(LARGE)), preview(jpeg(SMALL)), subs=[sensor(tag_259=32_767)]),
    "PEF": tiff(sensor(tag_259=65_535), preview(jpeg(SMALL)), preview(jpeg(LARGE))),
    "CR2": tiff(
        Picture({256: [800], 257: [600], 259: [6]}, jpeg(LARGE)),
        preview(jpeg(SMALL)),
        Picture({259: [6], 262: [SENSOR]}, LOSSLESS),
        magic=b"CR\2\0",
    ),
    "DNG with a JPEG": tiff(
        thumbnail(tag_50706=1),
        subs=[sensor(), Picture({254: [1], 256: [640], 257: [480], 259: [7], 262: [6]}, jpeg(LARGE))],
    ),
    "DNG with RGB": tiff(thumbnail(tag_50706=1), subs=[sensor(LINEAR), plain(np.asarray(LARGE), RGB)]),
    "DNG whose largest JPEG is broken": tiff(
        thumbnail(tag_50706=1), subs=[preview(jpeg(textured((800, 600)))[:9000]), preview(jpeg(LARGE)), sensor()]
    ),
}  # fmt: skip


def difference(data: bytes, image: Image.Image = LARGE, resize: str = "crop") -> float:
    ours = fit.to_pixels(decode.read(data, (224, 224), resize), (224, 224), resize).astype(int)
    return float(np.abs(ours - fit.to_pixels(image, (224, 224), resize)).mean())


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("camera", CAMERAS)
def test_the_largest_picture_inside_is_read(camera, resize):
    assert difference(CAMERAS[camera], resize=resize) < 2


@pytest.mark.parametrize("inside", ["JPEG", "RGB"])
def test_the_outer_orientation_turns_the_picture_inside(inside):
    stored = LARGE.transpose(Image.Transpose.ROTATE_90)  # orientation 6: to be turned clockwise
    picture = preview(jpeg(stored)) if inside == "JPEG" else plain(np.asarray(stored), RGB)
    assert difference(tiff(thumbnail(tag_274=6), subs=[picture, sensor()])) < 2


@pytest.mark.parametrize("inside", ["JPEG", "RGB"])
def test_an_orientation_inside_comes_first(inside):
    exif = Image.Exif()
    exif[274] = 6
    stored = LARGE.transpose(Image.Transpose.ROTATE_90)
    picture = preview(jpeg(stored, exif=exif)) if inside == "JPEG" else plain(np.asarray(stored), RGB, tag_274=6)
    assert difference(tiff(thumbnail(tag_274=3), subs=[picture, sensor()])) < 2


WITHOUT = {
    "a thumbnail and the sensor's values": tiff(thumbnail(tag_50706=1), subs=[sensor()]),
    "a larger thumbnail": tiff(thumbnail(), subs=[preview(jpeg(textured((320, 240)))), sensor()]),
    "the sensor's values alone": tiff(sensor()),
    "a lossless JPEG": tiff(thumbnail(), subs=[preview(LOSSLESS), sensor()]),
    "a broken JPEG": tiff(thumbnail(), subs=[preview(jpeg(LARGE)[:3000]), sensor()]),
    "directories in a circle": tiff(sensor(), subs=[sensor(tag_330=8), sensor(tag_330=8)]),
    "RAF": b"FUJIFILMCCD-RAW 0201" + b"\0" * 200,
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1" + b"\0" * 200,
    "ORF": b"IIRO\x08\0\0\0" + b"\0" * 200,
    "RW2": b"IIU\0\x18\0\0\0" + b"\0" * 200,
}


@pytest.mark.parametrize("holding", WITHOUT)
def test_a_raw_photo_is_refused_by_what_it_is(holding):
    with pytest.raises(UnsupportedImage, match=REFUSED):
        decode.read(WITHOUT[holding])


def test_a_tiff_whose_first_picture_is_a_thumbnail_is_read_by_its_largest():
    assert difference(tiff(thumbnail(), plain(np.asarray(LARGE), RGB))) < 2


def test_other_tiffs_are_read_by_their_first_picture():
    pages = tiff(plain(np.asarray(SMALL), RGB), plain(np.asarray(LARGE), RGB))
    assert difference(pages, SMALL) < 2
    assert difference(tiff(thumbnail()), SMALL) < 2
