"""A header holds what Pillow and the file's own writer know, and is read once."""

import io
import struct

import numpy as np
import pytest
from hostile.images import progressive, tiff, webp
from PIL import Image
from support.pictures import encoded, textured

from classifier.photos import decode, headers, limits
from classifier.photos import tiff as tiffs
from classifier.photos.headers import Header


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP"])
def test_other_formats_declare_nothing(format):
    assert headers.read(encoded(textured(), format)) == Header()


def test_an_avif_declares_its_colours_by_numbers():
    data = encoded(textured(), "AVIF")
    assert headers.read(data) == Header(colours=(1, 13))
    assert headers.read(data[: data.index(b"colrnclx") + 11]) == Header()


@pytest.mark.parametrize("data", [b"", b"\xff", b"words", b"RIFF....WEBP", b"\0\0\0\x18ftyp"])
def test_what_is_no_image_declares_nothing(data):
    assert headers.read(data) == Header()


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"save_all": True}])
def test_a_webp_declares_its_size(options):
    assert headers.read(encoded(textured((301, 200)), "WEBP", **options)).size == (301, 200)
    assert headers.read(webp(13_377, 500)).size == (13_377, 500)


def test_a_baseline_jpeg_is_sequential_and_read_to_its_first_scan():
    header = headers.read(encoded(textured(), "JPEG"))
    assert (header.is_sequential, header.scans) == (True, 1)
    assert header.segments < 20


@pytest.mark.parametrize("scans", [1, 7])
def test_the_scans_of_a_progressive_jpeg_are_counted(scans):
    header = headers.read(progressive(80, 80, scans))
    assert (header.is_sequential, header.scans) == (False, scans + 1)


def test_a_jpeg_that_breaks_off_before_its_scan_is_not_sequential():
    data = encoded(textured(), "JPEG")
    assert not headers.read(data[: data.index(b"\xff\xda")]).is_sequential


def test_segments_are_counted_no_further_than_their_bound():
    data = b"\xff\xd8" + b"\xff\xe5\0\2" * (headers.MAX_SEGMENTS + 5)
    assert headers.read(data).segments == headers.MAX_SEGMENTS


@pytest.mark.parametrize("big", [False, True])
def test_the_strips_of_a_tiff_are_counted(big):
    data = encoded(Image.fromarray(np.zeros((640, 3000), np.uint8)), "TIFF", big_tiff=big)
    assert headers.read(data).pieces == len(Image.open(io.BytesIO(data)).tag_v2[273])


def test_a_tiff_that_breaks_off_is_an_error():
    with pytest.raises(struct.error):
        headers.read(tiff({})[:6])


def test_heic_is_told_from_avif():
    assert headers.read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").is_heic
    assert not headers.read(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif").is_heic


def test_a_photo_is_parsed_once(monkeypatch):
    parsed = []
    for module, name in ((headers, "jpeg_header"), (headers, "webp_size"), (tiffs, "first")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda data, read=original, name=name: parsed.append(name) or read(data))
    for format in ("JPEG", "WEBP", "TIFF"):
        decode.read(encoded(textured(), format))
    assert parsed == ["jpeg_header", "webp_size", "first"]


@pytest.mark.parametrize(
    ("header", "fragment"),
    [
        (Header(size=(10_000, 10_000)), "100 megapixels"),
        (Header(pieces=limits.MAX_PIECES + 1), "strips or tiles"),
        (Header(scans=limits.MAX_SCANS + 1, is_sequential=False), "100 scans"),
        (Header(segments=headers.MAX_SEGMENTS, is_sequential=False), "segments"),
    ],
)
def test_each_limit_refuses_a_header(header, fragment):
    with pytest.raises(limits.TooLarge, match=fragment):
        limits.check(header, 50)


def test_a_header_within_the_limits_passes():
    limits.check(Header((5000, 5000), headers.MAX_SEGMENTS - 1, limits.MAX_SCANS, False, limits.MAX_PIECES), 50)
