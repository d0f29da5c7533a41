"""Heat maps by occlusion, against networks small enough to compute by hand."""

from functools import partial

import numpy as np
import pytest

from classifier.errors import NotExplainable
from classifier.models import compiled, folder, openvino_runtime

openvino = openvino_runtime.imported()
ops = openvino.opset13

SIDE = 4
CHANNELS = np.array([[1, 0, 0], [0, 1, 0]], np.float32)[..., np.newaxis, np.newaxis] / 255  # red and green, from 0 to 1
LAYOUTS = [1, 3]  # the axis of the channels


@pytest.fixture
def picture():
    """Red at the upper left, a weaker red at the lower right, green at the upper right."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[0, 0, 0], pixels[3, 3, 0], pixels[0, 3, 1] = 255, 102, 255
    return pixels


def network(head, channels=1, side=SIDE, kernel=CHANNELS):
    """Return a network whose feature map, with its channels at this axis, is followed by `head`."""
    pictures = ops.parameter(openvino.PartialShape([-1, side, side, 3]), np.uint8)
    pixels = ops.transpose(ops.convert(pictures, np.float32), [0, 3, 1, 2])
    features = ops.convolution(pixels, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    features = features if channels == 1 else ops.transpose(features, [0, 2, 3, 1])
    return openvino.Model([head(features)], [pictures])


def dense(features, weights):
    return ops.matmul(features, np.array(weights, np.float32), False, False)


def probabilities(features, weights):
    return ops.softmax(dense(features, weights), -1)


def pooled(features, channels=1, keep_dims=False, weights=((2, 0), (-1, 1))):
    mean = ops.reduce_mean(features, [axis for axis in (1, 2, 3) if axis != channels], keep_dims)
    return probabilities(ops.reshape(mean, [-1, 2], False), weights)


def flattened(features, weights):
    return probabilities(ops.reshape(features, [0, -1], True), weights)


def run(model):
    return compiled.runner(model, "float32")


def heat(model, pixels, index):
    from classifier.models.occlusion import Occlusion

    return Occlusion(model, run)(pixels, index)


@pytest.mark.parametrize("channels", LAYOUTS)
@pytest.mark.parametrize("keep_dims", [False, True])
def test_pooling_and_a_dense_layer_give_what_grad_cam_gives(picture, channels, keep_dims):
    """Class 0 is 2 red - 1 green: without a pixel the score is less by (2 red - green) / 16."""
    expected = np.zeros((SIDE, SIDE))
    expected[0, 0], expected[3, 3] = 1, 0.4
    head = partial(pooled, channels=channels, keep_dims=keep_dims)
    found = heat(network(head, channels), picture, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_each_class_has_its_own_map(picture):
    expected = np.zeros((SIDE, SIDE))
    expected[0, 3] = 1
    np.testing.assert_allclose(heat(network(pooled), picture, 1), expected, atol=1e-6)


@pytest.mark.parametrize("channels", LAYOUTS)
def test_a_flattened_map_is_occluded_pixel_by_pixel(picture, channels):
    """Every pixel has its own weights: the score is less by its own term."""
    order = [0, 2, 3, 1] if channels == 3 else [0, 1, 2, 3]
    weights = np.random.default_rng(0).normal(size=(2 * SIDE * SIDE, 2))
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    red_and_green = pixels[..., :2].transpose(2, 0, 1)[np.newaxis].transpose(order).ravel() / 255
    terms = (red_and_green * weights[:, 0]).reshape((2, SIDE, SIDE) if channels == 1 else (SIDE, SIDE, 2))
    expected = np.maximum(terms.sum(axis=channels - 1), 0)
    found = heat(network(partial(flattened, weights=weights), channels), pixels, 0)
    np.testing.assert_allclose(found, expected / expected.max(), atol=1e-5)


def test_maximum_pooling(picture):
    """Only the pixel with the maximum counts; without it the next one has it."""

    def maximum(features):
        return probabilities(ops.reduce_max(features, [2, 3]), [[2, 0], [-1, 1]])

    expected = np.zeros((SIDE, SIDE))
    expected[0, 0] = 1
    np.testing.assert_allclose(heat(network(maximum), picture, 0), expected, atol=1e-6)


def test_two_kinds_of_pooling_side_by_side(picture):
    def both(features):
        sides = [ops.reduce_max(features, [2, 3]), ops.reduce_mean(features, [2, 3])]
        return probabilities(ops.concat(sides, 1), [[2, 0], [-1, 1], [16, 0], [0, 0]])

    expected = np.zeros((SIDE, SIDE))
    expected[0, 0], expected[3, 3] = 1, 0.4 / (2 * 0.6 + 1)
    np.testing.assert_allclose(heat(network(both), picture, 0), expected, atol=1e-6)


def test_probabilities_without_a_softmax(picture):
    """One output with a sigmoid gives two classes."""

    def sigmoid(features):
        second = ops.sigmoid(dense(ops.reduce_mean(features, [2, 3]), [[-8], [8]]))
        return ops.concat([ops.subtract(np.float32(1), second), second], 1)

    found = heat(network(sigmoid), picture, 1)
    assert found[0, 3] == 1
    assert np.count_nonzero(found) == 1


def quantised(features):
    limits = np.float32(0), np.float32(1)
    return pooled(ops.fake_quantize(features, *limits, *limits, 256))


def write_folder(path, head, precision="float32"):
    card = folder.ModelCard(labels=["red", "green"], size=(SIDE, SIDE))
    compiled.write(path, network(head), card, folder.Compilation(precision=precision, source="a", weights="b"))


@pytest.mark.parametrize(("precision", "head"), [("float32", pooled), ("bfloat16", pooled), ("int8", quantised)])
def test_a_compiled_folder_shows_where_it_looked(tmp_path, picture, precision, head):
    write_folder(tmp_path, head, precision)
    found = compiled.read(tmp_path).explain(picture, 0)
    np.testing.assert_allclose(found, heat(network(pooled), picture, 0), atol=0.02)


def test_the_map_is_of_the_network_that_answers_also_if_the_folder_is_replaced(tmp_path, picture):
    write_folder(tmp_path, pooled)
    model = compiled.read(tmp_path)
    (tmp_path / "model.xml").unlink()
    (tmp_path / "model.bin").unlink()
    write_folder(tmp_path, partial(pooled, weights=((0, 2), (1, -1))))
    np.testing.assert_allclose(model.explain(picture, 0), heat(network(pooled), picture, 0), atol=1e-6)


def test_nothing_that_speaks_for_the_class_gives_zeros(picture):
    found = heat(network(partial(pooled, weights=((-1, 1), (-1, 1)))), picture, 0)
    assert found.shape == (SIDE, SIDE)
    assert not found.any()


def test_a_map_of_zeros_gives_zeros():
    assert not heat(network(pooled), np.zeros((SIDE, SIDE, 3), np.uint8), 0).any()


def test_a_large_map_is_occluded_in_cells():
    """256 x 256 x 2 numbers, once a part: 128 copies fit."""
    side = 256
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:20, -20:, 0] = 255
    found = heat(network(partial(flattened, weights=np.ones((2 * side * side, 2)) / side**2), side=side), pixels, 0)
    assert found.shape == (11, 11)
    assert found[0, -1] == 1
    assert np.count_nonzero(found) == 1


def test_the_network_is_not_changed(picture):
    model = network(pooled)
    before = run(model)(picture[np.newaxis])
    heat(model, picture, 0)
    np.testing.assert_array_equal(run(model)(picture[np.newaxis]), before)
    assert str(model.output(0).partial_shape) == "[?,2]"


def without_convolution():
    pictures = ops.parameter(openvino.PartialShape([-1, SIDE, SIDE, 3]), np.uint8)
    flat = ops.reshape(ops.convert(pictures, np.float32), [0, -1], True)
    return openvino.Model([probabilities(flat, np.ones((SIDE * SIDE * 3, 2)))], [pictures])


def beside_the_map():
    """Pool a first map, and a second map that is made of it."""

    def head(features):
        further = ops.convolution(features, np.ones((2, 2, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
        means = [ops.reduce_mean(map, [2, 3]) for map in (features, further)]
        return probabilities(ops.concat(means, 1), np.ones((4, 2)))

    return network(head)


def with_attention():
    """A vision transformer's patches are a map, but a whole transformer follows it."""

    def head(patches):
        tokens = ops.transpose(ops.reshape(patches, [0, 2, SIDE * SIDE], True), [0, 2, 1])
        attention = ops.softmax(ops.matmul(tokens, tokens, False, True), -1)
        return probabilities(ops.reduce_mean(ops.matmul(attention, tokens, False, False), [1]), np.ones((2, 2)))

    return network(head)


@pytest.mark.parametrize("make", [without_convolution, beside_the_map, with_attention])
def test_a_network_without_a_map_says_so(picture, make):
    with pytest.raises(NotExplainable, match="no feature map"):
        heat(make(), picture, 0)
