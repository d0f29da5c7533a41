"""Curves and matrices give LittleCMS' colours; a profile without them, or with rare or broken ones, is left to it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from support import profiles

from classifier.photos import cicp, colours, shaper

SRGB = ImageCms.createProfile("sRGB")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (601, 300, 3), dtype=np.uint8))
APPLE = (2.4, 0.948, 0.0521, 0.0774, 0.0405)  # of a telephone's Display P3
READ = {
    "power": profiles.wide(gamma=1.8),
    "ProPhoto": profiles.wide(profiles.PROPHOTO, 1.8),
    "no curve": profiles.shaped(profiles.table()),
    "table": profiles.shaped(profiles.table(*(round(65_535 * (i / 99) ** 2) for i in range(100)))),
    "parametric power": profiles.shaped(profiles.parametric(0, 2.2)),
    "parametric": profiles.shaped(profiles.parametric(3, *APPLE)),
    "HDR": cicp.profile(cicp.BT_2020, cicp.PQ),
}
LEFT = {
    "rare": profiles.shaped(profiles.parametric(4, *APPLE, 0.01, 0.01)),
    "overflowing": profiles.shaped(profiles.parametric(0, -20_000)),
    "table without its end": profiles.shaped(profiles.table(*range(9))[:16]),
    "parameters without their end": profiles.shaped(profiles.parametric(3, 2.4)),
    "only a name": profiles.shaped(b"para"),
    "of inks": profiles.inks(),
    "far too wide": profiles.wide(((20, -9, -9), (-9, 20, -9), (-9, -9, 20))),
    "cut off": profiles.wide()[:140],
    "empty": b"",
}


def by_little_cms(profile: bytes) -> np.ndarray:
    return np.asarray(ImageCms.profileToProfile(NOISE, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB), int)


@pytest.mark.parametrize("profile", READ.values(), ids=READ)
def test_curves_and_a_matrix_give_the_colours_of_little_cms(profile):
    conversion = shaper.read(profile)
    assert conversion is not None
    assert np.abs(np.asarray(conversion(NOISE.copy()), int) - by_little_cms(profile)).max() <= 1


@pytest.mark.parametrize("profile", LEFT.values(), ids=LEFT)
def test_other_profiles_are_left_to_little_cms(profile):
    ours = np.asarray(colours.to_srgb(NOISE.copy(), profile), int)
    try:
        expected = by_little_cms(profile)
    except (OSError, ImageCms.PyCMSError):
        expected = np.asarray(NOISE, int)
    np.testing.assert_array_equal(ours, expected)
