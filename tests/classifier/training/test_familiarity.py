"""The threshold lets photos of the classes pass, by photos that are held out, and strangers are made of these."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from classifier.dataset import reading

pytestmark = pytest.mark.tensorflow

SIDE = 20


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    """Import here what imports TensorFlow, so that collecting the tests does not."""
    global keras, auroc, evenly, shuffled, training_photos, Fitted
    import keras

    from classifier.evaluation.metrics import auroc
    from classifier.training.familiarity import evenly, shuffled, training_photos
    from classifier.training.fit import Fitted


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of noise around 16 colours, the first of which is there five times more, each time a little brighter."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data")
    for i in range(16):
        path = folder / "ab"[i % 2]
        path.mkdir(exist_ok=True)
        pixels = random.integers(0, 60, (SIDE, SIDE, 3)) + random.integers(0, 180, 3)
        for copy in range(6 if i == 0 else 1):
            Image.fromarray((pixels + copy).astype(np.uint8)).save(path / f"{i:02}-{copy}.png")
    return reading.read(folder, (SIDE, SIDE), "stretch")


@pytest.fixture(scope="module")
def network():
    """The average colour as the features of a network: uint8 (n, SIDE, SIDE, 3) -> (n, 2)."""
    images = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    features = keras.layers.GlobalAveragePooling2D(name="features")(keras.ops.cast(images, "float32"))
    return keras.Model(images, keras.layers.Dense(2)(features))


def colours(photos, indices):
    means = photos.take(indices).mean(axis=(1, 2), dtype=float)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def fifth(distances):
    return sorted(distances)[4]


def test_of_frozen_features_every_photo_is_held_out_in_turn_without_its_near_copies(photos, network):
    indices = np.arange(len(photos.photos))
    parts = {"train": indices[::2], "validation": indices[1::2], "test": indices[:0]}
    both = np.concatenate([parts["train"], parts["validation"]])
    features = photos.take(both).mean(axis=(1, 2), dtype=np.float32)
    found = training_photos(Fitted(network, {}, features, photos.labels[both], features), photos, parts, False)
    points, groups = colours(photos, both), photos.near_copies[both]
    assert Counter(groups.tolist()).most_common(1)[0][1] == 6
    expected = [
        fifth(np.linalg.norm(points[groups != group] - point, axis=1))
        for point, group in zip(points, groups, strict=True)
    ]
    assert found.threshold == pytest.approx(np.quantile(expected, 0.95, method="higher"), abs=1e-3)
    assert found.spread == pytest.approx(np.std(expected), abs=1e-3)
    assert np.mean(np.array(expected) <= found.threshold + 1e-3) >= 0.95
    np.testing.assert_array_equal(found.labels, photos.labels[both])
    np.testing.assert_allclose(found.features, features, rtol=1e-3)


def test_of_fitted_features_the_validation_photos_are_held_out(photos, network):
    indices = np.arange(len(photos.photos))
    parts = {"train": indices[6:16], "validation": indices[16:], "test": indices[:0]}
    found = training_photos(Fitted(network, {}, np.zeros((5, 2)), np.zeros(5)), photos, parts, False)
    known, own = colours(photos, parts["train"]), colours(photos, parts["validation"])
    expected = [fifth(np.linalg.norm(known - point, axis=1)) for point in own]
    assert found.threshold == pytest.approx(max(expected), abs=1e-3)
    assert len(found.features) == 10


def test_features_that_are_colours_only_cannot_tell_strangers(photos, network):
    indices = np.arange(len(photos.photos))
    parts = {"train": indices[6:16], "validation": indices[16:], "test": indices[:0]}
    found = training_photos(Fitted(network, {}, np.zeros((5, 2)), np.zeros(5)), photos, parts, True)
    assert not found.separates


@pytest.mark.parametrize("size", [(32, 48), (33, 50), (5, 90)])
def test_shuffled_photos_have_the_same_pixels_in_other_places(size):
    photos = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    mixed = shuffled(photos)
    for photo, other in zip(photos, mixed, strict=True):
        assert Counter(map(tuple, photo.reshape(-1, 3))) == Counter(map(tuple, other.reshape(-1, 3)))
    assert np.array_equal(photos, mixed) == (size == (5, 90))


def test_a_piece_of_a_shuffled_photo_stays_whole():
    pieces = np.arange(64, dtype=np.uint8).reshape(8, 8)
    photo = np.repeat(np.repeat(pieces, 4, axis=0), 5, axis=1)[np.newaxis, ..., np.newaxis].repeat(3, axis=-1)
    mixed = shuffled(photo)[0, ..., 0].reshape(8, 4, 8, 5).swapaxes(1, 2).reshape(64, 20)
    assert (mixed == mixed[:, :1]).all()
    assert sorted(mixed[:, 0]) == list(range(64))
    assert (mixed[:, 0] != np.arange(64)).sum() > 50


def test_auroc_is_the_share_of_pairs_in_which_the_stranger_is_farther():
    own, strangers = np.array([0.1, 0.2, 0.4]), np.array([0.3, 0.2])
    pairs = [(b > a) + (b == a) / 2 for a in own for b in strangers]
    assert auroc(strangers, own) == pytest.approx(np.mean(pairs))


def test_some_are_taken_evenly():
    np.testing.assert_array_equal(evenly(np.arange(10, 20), 4), [10, 13, 16, 19])
    np.testing.assert_array_equal(evenly(np.arange(3), 4), [0, 1, 2])
