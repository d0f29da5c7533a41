"""Colours in 16-bit files are as bright as the bits in use make them, as greys are."""

import zlib

import numpy as np
import pytest
from support.pictures import png_of_16_bits, textured
from support.tiffs import plain, tiff

from classifier.photos import decode

PHOTO = np.asarray(textured())  # uint8 (height, width, 3)
RGB, CMYK = 2, 5


def in_bits(bits: int, pixels: np.ndarray = PHOTO, dtype: str = "<u2") -> np.ndarray:
    return (pixels.astype(np.uint64) * (2**bits - 1) // 255).astype(dtype)


def with_opacity(colours: np.ndarray, opacity: int) -> np.ndarray:
    return np.concatenate([colours, np.full_like(colours[..., :1], opacity)], axis=-1)


def shown(data: bytes, **options) -> np.ndarray:
    return np.asarray(decode.read(data, **options)).astype(int)


def error(data: bytes, expected: np.ndarray = PHOTO, **options) -> int:
    return int(np.abs(shown(data, **options) - expected).max())


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("bits", [6, 8, 10, 12, 14, 16])
def test_a_png_is_scaled_by_the_bits_in_use(bits, resize):
    assert error(png_of_16_bits(in_bits(bits)), resize=resize) <= 256 / 2**bits + 1


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [6, 10, 12, 16])
def test_a_tiff_is_scaled_by_the_bits_in_use(bits, order, compressed):
    picture = plain(in_bits(bits, dtype=order + "u2"), RGB)
    if compressed:
        picture = picture._replace(tags=picture.tags | {259: [8]}, data=zlib.compress(picture.data))
    assert error(tiff(picture, order=order)) <= 256 / 2**bits + 1


def test_colours_keep_their_proportions():
    """Every channel is scaled by the same bits, although red alone uses all 12."""
    reddish = np.array(PHOTO)
    reddish[..., 1:] //= 8
    assert error(png_of_16_bits(in_bits(12, reddish)), reddish) <= 1


def test_more_than_half_of_the_range_keeps_the_upper_bits():
    values = in_bits(16) // 2 + 300
    np.testing.assert_array_equal(shown(png_of_16_bits(values.astype("<u2"))), values.astype(int) >> 8)


@pytest.mark.parametrize(("declared", "bits"), [(12, 12), (16, 16), (8, 10), (0, 10)])
def test_the_bits_that_a_png_declares_count_if_they_hold_its_values(declared, bits):
    values = in_bits(10)
    assert int(values.max()).bit_length() == 10
    png = png_of_16_bits(values, sBIT=bytes([min(declared, 5), declared, 1]))
    np.testing.assert_array_equal(shown(png), values >> (bits - 8))


def test_the_largest_value_that_a_tiff_declares_counts():
    values = in_bits(10)
    np.testing.assert_array_equal(shown(tiff(plain(values, RGB, tag_341=4095))), values >> 4)


@pytest.mark.parametrize("opacity", [4095, 65_535])
@pytest.mark.parametrize("kind", ["PNG", "grey PNG", "TIFF"])
def test_full_opacity_is_full_in_either_range(kind, opacity):
    colours = in_bits(12)
    if kind == "TIFF":
        assert error(tiff(plain(with_opacity(colours, opacity), RGB, tag_338=2))) <= 1
    elif kind == "PNG":
        assert error(png_of_16_bits(with_opacity(colours, opacity))) <= 1
    else:
        data = png_of_16_bits(with_opacity(colours[..., :1], opacity))
        assert error(data, np.repeat(PHOTO[..., :1], 3, axis=-1)) <= 1


def test_inks_in_12_bits_are_no_pale_picture():
    inks = np.stack([np.full((40, 40), value, np.uint8) for value in (255, 0, 0, 0)], axis=-1)
    red, green, blue = shown(tiff(plain(in_bits(12, inks), CMYK))).mean(axis=(0, 1))
    assert red < 10
    assert min(green, blue) > 245


@pytest.mark.parametrize("pixels", [np.zeros((30, 30, 3), "<u2"), np.zeros((30, 30, 4), "<u2")])
def test_black_is_black(pixels):
    assert shown(png_of_16_bits(pixels)).max() == (0 if pixels.shape[2] == 3 else 255)


def test_a_dark_picture_in_8_bits_stays_dark():
    dark = PHOTO // 4
    assert error(tiff(plain(dark, RGB)), dark) == 0
