"""A model folder with the features of its training photos compares, from the run that also gives the probabilities."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from support.loading import load
from support.model_folders import write_colours

from classifier.contract import FAMILIAR
from classifier.errors import StartupError

pytestmark = [pytest.mark.tensorflow, pytest.mark.every_backend]

LABELS = ["red", "green", "blue"]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def convolutional():
    """Return a network whose layer `features` is a feature map: uint8 (n, 32, 32, 3) -> probabilities (n, 3)."""
    import keras

    from classifier.models.precision import with_softmax

    keras.utils.set_random_seed(1)
    images = keras.Input((32, 32, 3), dtype="uint8", name="images")
    pixels = keras.ops.cast(images, "float32") / 255
    features = keras.layers.Conv2D(4, 8, strides=8, activation="relu", name="features")(pixels)
    return with_softmax(keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(features))), "classifier")


def by_hand(network) -> np.ndarray:
    """Return the features of PIXELS, (n, 12), by NumPy."""
    kernel, bias = (np.asarray(weights, float) for weights in network.get_layer("features").get_weights())
    patches = (PIXELS / 255).reshape(len(PIXELS), 4, 8, 4, 8, 3).swapaxes(2, 3)
    features = np.maximum(np.einsum("nijhwc,hwcf->nijf", patches, kernel) + bias, 0)
    return np.concatenate([pool(features, axis=(1, 2)) for pool in (np.mean, np.std, np.max)], axis=-1)


def known(features: np.ndarray, **changes):
    """Return training photos with these features, of which each is only familiar with itself."""
    from classifier.models.familiarity import TrainingPhotos, to_float16

    n = len(features)
    hashes = np.arange(32 * n, dtype=np.uint8).reshape(n, 32)
    none = np.zeros((0, 0), np.float32)
    photos = TrainingPhotos(to_float16(features), np.arange(n) % 3, hashes, none, 1, 0.05, 0.05, 0.9)
    return replace(photos, **changes)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A model folder that knows the first three of PIXELS."""
    from classifier.models import familiarity, folder

    path = tmp_path_factory.mktemp("models") / "own"
    path.mkdir()
    network = convolutional()
    folder.write(path, network, folder.ModelCard(labels=LABELS, size=(32, 32)))
    familiarity.write(path, known(by_hand(network)[:3]))
    return path


@pytest.fixture
def own(original, tmp_path):
    return shutil.copytree(original, tmp_path / "own")


def test_one_run_gives_the_probabilities_and_what_the_photos_resemble(original):
    from classifier.models import folder

    model = load(original)
    assert (model.info.compares, model.info.judges) == (True, True)
    scores, resemblances = model.compare(PIXELS)
    network, _ = folder.read(original)
    np.testing.assert_allclose(scores, np.asarray(network(PIXELS)), atol=1e-6)
    np.testing.assert_array_equal(model(PIXELS), scores)
    features = by_hand(network)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = np.linalg.norm(unit[:, np.newaxis] - unit[:3], axis=2)
    for row, found in zip(distances, resemblances, strict=True):
        assert [photo.label for photo in found.similar] == [LABELS[i] for i in np.argsort(row)]
        expected = 1 / (1 + np.exp((np.sort(row) - 0.05) / 0.05))
        np.testing.assert_allclose([photo.similarity for photo in found.similar], expected, atol=0.01)
    assert [found.familiarity >= FAMILIAR for found in resemblances[:3]] == [True] * 3


def test_it_explains_as_before(original):
    assert load(original).explain(PIXELS[0], 1).shape == (4, 4)


def test_the_precision_can_be_reduced(original):
    model = load(original, precision="bfloat16")
    scores, resemblances = model.compare(PIXELS)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, load(original)(PIXELS), atol=0.02)
    assert [found.familiarity >= FAMILIAR for found in resemblances[:3]] == [True] * 3


def test_the_setting_turns_familiarity_off_and_leaves_similar_photos(original):
    model = load(original, familiarity=0)
    assert (model.info.compares, model.info.judges) == (True, False)


def test_a_model_that_cannot_tell_strangers_does_not_judge(own):
    from classifier.models import familiarity

    familiarity.write(own, known(np.ones((3, 12)), auroc=0.79))
    assert not load(own).info.judges


def test_only_the_thumbnails_at_hand_are_named(own):
    from classifier.models.familiarity import thumbnail_name

    (own / "thumbnails").mkdir()
    name = thumbnail_name(np.arange(32, dtype=np.uint8))
    (own / "thumbnails" / name).touch()
    _, (found, *_) = load(own).compare(PIXELS[:1])
    assert sorted(photo.thumbnail for photo in found.similar) == ["", "", name]


def test_folders_without_features_are_loaded_as_before(own, tmp_path):
    (own / "features.npz").unlink()
    for path in (own, write_colours(tmp_path / "colours")):
        info = load(path).info
        assert (info.compares, info.judges) == (False, False)


def test_features_of_another_network_are_refused(own, tmp_path):
    from classifier.models import familiarity

    familiarity.write(own, known(np.ones((3, 5))))
    with pytest.raises(StartupError, match=r"cannot be used: features\.npz has 5 features a photo, the network 12\.$"):
        load(own)
    colours = write_colours(tmp_path / "colours")
    familiarity.write(colours, known(np.ones((3, 5))))
    with pytest.raises(StartupError, match="the network 0"):
        load(colours)
