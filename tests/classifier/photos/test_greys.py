"""Deep greys have the brightness that their file means, in whichever way it stores them."""

import zlib

import numpy as np
import pytest
from hostile.images import chunk
from PIL import Image, ImageOps
from support.pictures import encoded, textured
from support.tiffs import plain, tiff

from classifier.errors import UnsupportedImage
from classifier.photos import decode

GREY = np.asarray(ImageOps.autocontrast(textured().convert("L")))  # from 0 to 255
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


def shown(data: bytes, **options) -> np.ndarray:
    return np.asarray(decode.read(data, **options)).astype(int)[..., 0]


def in_bits(bits: int, dtype: str = "<u2") -> np.ndarray:
    return (GREY.astype(np.uint64) * (2**bits - 1) // 255).astype(dtype)


def is_as_bright(data: bytes, **options) -> bool:
    return bool(np.abs(shown(data, **options) - GREY).mean() < 1.5)


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("bits", [5, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_are_scaled_by_those_in_use(format, bits, resize):
    tolerance = 256 / 2**bits + 1
    ours = shown(encoded(Image.fromarray(in_bits(bits)), format), resize=resize)
    assert np.abs(ours - GREY).max() <= tolerance


def test_values_that_fill_more_than_half_of_the_range_keep_their_upper_bits():
    values = np.linspace(0, 33_000, 300 * 20).astype("<u2").reshape(20, 300)
    np.testing.assert_array_equal(shown(encoded(Image.fromarray(values))), values >> 8)


def with_sbit(png: bytes, bits: int) -> bytes:
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk(b"sBIT", bytes([bits])) + png[at:]


@pytest.mark.parametrize(("declared", "shift"), [(12, 4), (16, 8), (10, 4), (0, 4)])
def test_the_bits_that_a_png_declares_count_if_they_hold_its_values(declared, shift):
    values = in_bits(12) // 2 + 1  # 11 bits and a little more
    png = with_sbit(encoded(Image.fromarray(values.astype("<u2"))), declared)
    np.testing.assert_array_equal(shown(png), values >> shift)


@pytest.mark.parametrize(("declared", "shift"), [(4095, 4), (65_535, 8), (300, 2)])
def test_the_largest_value_that_a_tiff_declares_counts_if_it_is(declared, shift):
    values = (in_bits(12) // 4).astype("<u2")
    assert values.max() >= 512
    np.testing.assert_array_equal(shown(tiff(plain(values, tag_341=declared))), values >> shift)


def test_a_tiff_of_12_bits():
    pairs = in_bits(12).astype(int).reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    picture = plain(in_bits(16), tag_258=12)
    assert is_as_bright(tiff(picture._replace(data=packed.astype(np.uint8).tobytes())))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("kind", ["u1", "u2", "12 in u2", "u4", "f4"])
def test_white_is_zero_or_black(kind, photometric, order):
    bits = 12 if kind.startswith("12") else {"u1": 8, "u2": 16, "u4": 32, "f4": 16}[kind]
    values = in_bits(bits, order + kind[-2:])
    stored = values if photometric == BLACK_IS_ZERO else 2**bits - 1 - values
    assert is_as_bright(tiff(plain(stored.astype(order + kind[-2:]), photometric), order=order))


def test_unsigned_32_bits_above_half_of_the_range():
    values = np.linspace(0, 2**32 - 1, 6000).astype("<u4").reshape(20, 300)
    assert np.all(np.diff(shown(tiff(plain(values)))[:, ::10].ravel()) >= 0)


def test_signed_values_below_zero():
    values = GREY.astype("<i2") * 16 - 1024  # as computed tomography exports them
    assert is_as_bright(tiff(plain(values)))


@pytest.mark.parametrize("kind", ["i2", "u4", "f4"])
def test_a_compressed_tiff_of_the_other_order_of_bytes(kind):
    picture = plain(in_bits(15, ">" + kind), tag_259=8)
    assert is_as_bright(tiff(picture._replace(data=zlib.compress(picture.data)), order=">"))


@pytest.mark.parametrize("opacity", ["unspecified", "premultiplied", "full", "none declared"])
@pytest.mark.parametrize(("kind", "bits"), [("u1", 8), ("u2", 16), ("u2", 12)])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_grey_with_opacity(order, kind, bits, opacity, is_compressed):
    dtype = order + kind
    second = in_bits(bits, dtype) if opacity == "unspecified" else np.full_like(in_bits(bits, dtype), 2**bits - 1)
    extra = {"unspecified": {"tag_338": 0}, "premultiplied": {"tag_338": 1}, "full": {"tag_338": 2}}.get(opacity, {})
    picture = plain(np.stack([in_bits(bits, dtype), second], axis=-1).astype(dtype), **extra)
    if is_compressed:
        picture = picture._replace(tags=picture.tags | {259: [8]}, data=zlib.compress(picture.data))
    assert is_as_bright(tiff(picture, order=order))


def test_opacity_of_16_bits_lies_on_white_whether_white_is_zero_or_not():
    half = np.stack([np.full((50, 50), 0xFFFF), np.full((50, 50), 0x8000)], axis=-1).astype("<u2")
    assert np.abs(shown(tiff(plain(half, WHITE_IS_ZERO, tag_338=2))) - 127).max() <= 1


CHANNELS = {
    "13 channels of 16-bit numbers": (np.zeros((20, 30, 13), "<u2"), BLACK_IS_ZERO),
    "5 channels of 16-bit numbers": (np.zeros((20, 30, 5), "<u2"), RGB),
    "3 channels of 32-bit floating-point numbers": (np.zeros((20, 30, 3), "<f4"), RGB),
    "2 channels of 32-bit floating-point numbers": (np.zeros((20, 30, 2), "<f4"), BLACK_IS_ZERO),
    "1 channel of 64-bit floating-point numbers": (np.zeros((20, 30), "<f8"), BLACK_IS_ZERO),
    "3 channels of 32-bit numbers": (np.zeros((20, 30, 3), "<u4"), RGB),
}


@pytest.mark.parametrize("named", CHANNELS)
def test_a_tiff_that_cannot_be_read_is_named_by_its_channels(named):
    with pytest.raises(UnsupportedImage, match=f"^This TIFF has {named}, .*save.* as a PNG or JPEG.$"):
        decode.read(tiff(plain(*CHANNELS[named])))


def test_a_tiff_that_is_compressed_in_a_way_that_cannot_be_read():
    with pytest.raises(UnsupportedImage, match=r"compressed by a method that we cannot read \(34712\)"):
        decode.read(tiff(plain(GREY, tag_259=34_712)))


def test_nobody_is_asked_for_a_tiff_instead_of_a_tiff():
    with pytest.raises(UnsupportedImage, match="of a kind that we cannot read; please save it as a PNG or JPEG"):
        decode.read(tiff(plain(GREY, photometric=9)))


def test_a_png_is_searched_for_its_bits_no_longer_than_it_takes():
    many = chunk(b"abCd") * 5000
    png = encoded(Image.fromarray(in_bits(12)))
    at = png.index(b"IDAT") - 4
    data = png[:at] + many + chunk(b"sBIT", bytes([16])) + png[at:]
    assert is_as_bright(data)
