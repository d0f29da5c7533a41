"""Grad-CAM against a network small enough to compute by hand, and against the effect of blanking parts of a photo."""

import numpy as np
import pytest
from support.loading import load
from support.needs import SHARED, needs_shared

from classifier.errors import NotExplainable
from classifier.photos import decode, fit

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def toy(keras, dense):
    """Two channels, red and green of every pixel of a 4 x 4 picture; averaged, then two classes by `dense`, (2, 2)."""
    images = keras.Input((4, 4, 3), dtype="uint8")
    channels = keras.layers.Conv2D(2, 1, use_bias=False, name="map")
    logits = keras.layers.Dense(2, use_bias=False, name="logits")
    pooled = keras.layers.GlobalAveragePooling2D()(channels(keras.ops.cast(images, "float32") / 255.0))
    network = keras.Model(images, keras.layers.Softmax(name="probabilities")(logits(pooled)))
    channels.set_weights([np.array([[[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]])])
    logits.set_weights([np.array(dense, float)])
    return network


@pytest.fixture
def picture():
    """Red at the upper left, a weaker red at the lower right, green at the upper right."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 0, 0], pixels[3, 3, 0], pixels[0, 3, 1] = 255, 102, 255
    return pixels


def heat(network, pixels, index):
    from classifier.models.gradcam import GradCam

    return GradCam(network)(pixels, index)


@pytest.mark.every_backend
def test_a_toy_network_by_hand(keras, picture):
    """Class 0 is 2 red - 1 green: each pixel's gradient is (2, -1) / 16, so the heat is relu(2 red - green), scaled."""
    expected = np.zeros((4, 4))
    expected[0, 0], expected[3, 3] = 1, 0.4
    np.testing.assert_allclose(heat(toy(keras, [[2, 0], [-1, 1]]), picture, 0), expected, atol=1e-6)


def test_each_class_has_its_own_map(keras, picture):
    expected = np.zeros((4, 4))
    expected[0, 3] = 1
    np.testing.assert_allclose(heat(toy(keras, [[2, 0], [-1, 1]]), picture, 1), expected, atol=1e-6)


@pytest.mark.every_backend
def test_a_map_where_nothing_speaks_for_the_class_is_all_zero(keras, picture):
    found = heat(toy(keras, [[-1, 1], [-1, 1]]), picture, 0)
    assert not found.any()
    assert np.isfinite(found).all()


def test_the_network_is_not_changed(keras, picture):
    network = toy(keras, [[2, 0], [-1, 1]])
    before = [weight.copy() for weight in network.get_weights()], network(picture[np.newaxis]), len(network.layers)
    heat(network, picture, 0)
    after = network.get_weights(), network(picture[np.newaxis]), len(network.layers)
    for old, new in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_a_network_without_a_map_says_so(keras):
    pictures = keras.Input((4, 4, 3), dtype="uint8")
    flat = keras.layers.Flatten()(keras.ops.cast(pictures, "float32"))
    dense = keras.layers.Dense(2)(flat)
    network = keras.Model(pictures, keras.layers.Softmax(name="probabilities")(dense))
    with pytest.raises(NotExplainable, match="no feature map"):
        heat(network, np.zeros((4, 4, 3), np.uint8), 0)


@pytest.mark.parametrize(
    ("name", "shape"), [("vgg16", (14, 14)), ("mobilenet_v3_small", (7, 7)), ("convnext_tiny", (7, 7))]
)
def test_the_last_map_of_well_known_models_is_found(keras, name, shape):
    from classifier.models.gradcam import last_feature_map
    from classifier.models.loading import assemble
    from classifier.models.weights import unset

    with unset():
        network = assemble(name, "zeros", 10)
    assert last_feature_map(network).shape[1:3] == shape


@needs_shared
def test_blanking_what_is_hot_costs_more_than_blanking_at_random():
    """The deletion test: a fifth of the picture, over all photos."""

    network = load("mobilenet_v2", str(SHARED / "mobilenet_v2.weights.h5"))
    random = np.random.default_rng(0)
    drops = []
    for path in sorted((SHARED / "photos").iterdir()):
        pixels = fit.to_pixels(decode.read(path.read_bytes()), (224, 224))
        scores = network(pixels[np.newaxis])[0]
        best = int(scores.argmax())
        order = np.argsort(-network.explain(pixels, best).ravel())
        blanked = np.stack([blank(pixels, order[:10]), *(blank(pixels, random.permutation(49)[:10]) for _ in range(3))])
        hot, *others = scores[best] - network(blanked)[:, best]
        drops.append((hot, np.mean(others)))
    hot, other = np.mean(drops, axis=0)
    assert hot > 1.2 * other


def blank(pixels, cells):
    """Return the picture with some of its 7 x 7 parts in its average colour."""
    changed = pixels.copy()
    for cell in cells:
        y, x = divmod(int(cell), 7)
        changed[32 * y : 32 * y + 32, 32 * x : 32 * x + 32] = pixels.mean(axis=(0, 1))
    return changed
