"""Stretching gives the pixels of Keras' own loader."""

import numpy as np
import pytest
from support.pictures import encoded, textured

from classifier.photos import decode, fit

SIZE = (224, 224)


@pytest.mark.tensorflow
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_stretch_equals_keras_load_img_pixel_for_pixel(tmp_path, format):
    from keras.utils import load_img

    path = tmp_path / "photo"
    path.write_bytes(encoded(textured((1500, 1001)), format))
    ours = fit.to_pixels(decode.read(path.read_bytes(), SIZE, "stretch"), SIZE, "stretch")
    np.testing.assert_array_equal(ours, np.asarray(load_img(path, target_size=SIZE)))
