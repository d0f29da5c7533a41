"""Familiarity and similar photos are those of brute force, and a damaged features.npz is refused in one sentence."""

from dataclasses import replace

import numpy as np
import pytest

from classifier.contract import FAMILIAR
from classifier.errors import StartupError
from classifier.models.familiarity import (
    FEATURES,
    Comparison,
    Known,
    TrainingPhotos,
    read,
    thumbnail_name,
    to_float16,
    unit,
    write,
)

CLASSES = ["daisy", "rose"]
NEIGHBOUR = 3
RANDOM = np.random.default_rng(0)
VALUES = RANDOM.gamma(0.5, size=(40, 16))
PHOTOS = TrainingPhotos(
    features=to_float16(VALUES),
    labels=np.arange(40) % 2,
    hashes=RANDOM.integers(0, 256, (40, 32), np.uint8),
    whitening=np.zeros((0, 0), np.float32),
    neighbour=NEIGHBOUR,
    threshold=0.3,
    spread=0.1,
    auroc=0.9,
)


WHITENED = replace(PHOTOS, whitening=RANDOM.normal(size=(16, 16)).astype(np.float32))
BOTH = pytest.mark.parametrize("known", [PHOTOS, WHITENED], ids=["as they are", "whitened"])


def brute_force(known: TrainingPhotos, photo: np.ndarray) -> list[tuple[float, int]]:
    """Every training photo's distance to one photo, in float64, and its index; the nearest first."""
    matrix = known.whitening.astype(float) if known.whitening.size else np.eye(16)
    points = [row / np.linalg.norm(row) @ matrix for row in (photo, *known.features.astype(float))]
    return sorted((float(np.linalg.norm(point - points[0])), i) for i, point in enumerate(points[1:]))


def curve(distances):
    return 1 / (1 + np.exp((np.array(distances) - 0.3) / 0.1))


@BOTH
def test_the_similar_photos_are_the_nearest_with_their_classes(known):
    names = {thumbnail_name(PHOTOS.hashes[i]) for i in range(0, 40, 2)}
    photos = RANDOM.gamma(0.5, size=(7, 16))
    for photo, found in zip(photos, Comparison(known, CLASSES, names)(photos), strict=True):
        expected = brute_force(known, photo)[:5]
        assert [similar.label for similar in found.similar] == [CLASSES[i % 2] for _, i in expected]
        np.testing.assert_allclose(
            [similar.similarity for similar in found.similar], curve([d for d, _ in expected]), 1e-3
        )
        assert [similar.thumbnail for similar in found.similar] == [
            "" if i % 2 else thumbnail_name(PHOTOS.hashes[i]) for _, i in expected
        ]


@BOTH
def test_familiarity_falls_with_the_distance_to_the_neighbour_and_is_half_at_the_threshold(known):
    photos = RANDOM.gamma(0.5, size=(20, 16))
    distances = np.array([brute_force(known, photo)[NEIGHBOUR - 1][0] for photo in photos])
    familiarity = np.array([found.familiarity for found in Comparison(known, CLASSES)(photos)])
    np.testing.assert_allclose(familiarity, curve(distances), 1e-3)
    np.testing.assert_array_equal(np.argsort(-familiarity), np.argsort(distances))
    at = known.familiarity(np.array([0, 0.2, 0.3, 0.4, 100.0]))
    assert at[2] == FAMILIAR
    assert ((at >= 0) & (at <= 1)).all()


def test_a_training_photo_is_most_like_itself():
    for place, found in enumerate(Comparison(PHOTOS, CLASSES)(PHOTOS.features)):
        assert found.similar[0].similarity == pytest.approx(curve(0), abs=1e-2)
        assert found.similar[0].label == CLASSES[place % 2]


def test_features_of_zeros_and_very_small_sets_are_compared_without_a_warning():
    few = replace(PHOTOS, features=PHOTOS.features[:2], labels=np.array([0, 1]), hashes=PHOTOS.hashes[:2], neighbour=2)
    (found,) = Comparison(few, CLASSES)(np.zeros((1, 16)))
    assert [similar.similarity for similar in found.similar] == pytest.approx(curve([1, 1]).tolist())
    assert found.familiarity < FAMILIAR


def test_pairs_that_do_not_count_come_last():
    known = unit(VALUES)
    indices, _ = Known(VALUES, PHOTOS.whitening).nearest(VALUES, 1, np.eye(40, dtype=bool))
    for i in range(40):
        assert indices[i, 0] == np.argsort(np.linalg.norm(known - known[i], axis=1))[1]


@pytest.mark.parametrize(("auroc", "separates"), [(0.79, False), (0.8, True)])
def test_what_is_not_separated_well_must_not_be_called_a_stranger(auroc, separates):
    assert replace(PHOTOS, auroc=auroc).separates == separates


def test_what_is_written_is_read_and_small(tmp_path):
    assert read(tmp_path, 2) is None
    many = replace(
        PHOTOS,
        features=to_float16(RANDOM.gamma(0.5, size=(3000, 1280))),
        labels=np.zeros(3000, int),
        hashes=RANDOM.integers(0, 256, (3000, 32), np.uint8),
    )
    for photos in (PHOTOS, many):
        write(tmp_path, photos)
        again = read(tmp_path, 2)
        for name, value in vars(photos).items():
            np.testing.assert_array_equal(getattr(again, name), value)
    assert (tmp_path / FEATURES).stat().st_size <= 8e6
    assert again.features.dtype == np.float16


def test_features_that_float16_cannot_hold_are_stored_as_the_largest_it_can():
    stored = to_float16(np.array([[1e6, -1e6, 1.5]]))
    assert np.isfinite(stored).all()
    assert stored[0, 2] == 1.5


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": PHOTOS.labels[:-1]},
        {"labels": PHOTOS.labels + 1},
        {"labels": PHOTOS.labels - 1},
        {"labels": PHOTOS.labels / 2},
        {"hashes": PHOTOS.hashes[:, :8]},
        {"features": PHOTOS.features[0]},
        {"features": np.full_like(PHOTOS.features, np.nan)},
        {"whitening": np.ones((3, 3), np.float32)},
        {"whitening": np.full((16, 16), np.inf, np.float32)},
        {"neighbour": 0},
        {"neighbour": 41},
        {"spread": 0.0},
        {"threshold": np.nan},
        {"auroc": "high"},
        {"features": np.array([{}] * 40)},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, changes):
    np.savez(tmp_path / FEATURES, **vars(PHOTOS) | changes)
    is_refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", None])
def test_a_damaged_file_is_refused(tmp_path, content):
    write(tmp_path, PHOTOS)
    whole = (tmp_path / FEATURES).read_bytes()
    (tmp_path / FEATURES).write_bytes(whole[: len(whole) // 2] if content is None else content)
    is_refused(tmp_path)


def test_a_file_without_one_of_the_numbers_is_refused(tmp_path):
    np.savez(tmp_path / FEATURES, **{name: value for name, value in vars(PHOTOS).items() if name != "spread"})
    is_refused(tmp_path)


def is_refused(path):
    with pytest.raises(StartupError) as raised:
        read(path, 2)
    message = str(raised.value)
    assert message.startswith(f"The model folder {path} cannot be used: its {FEATURES} is damaged (")
    assert "train the model again" in message
    assert "\n" not in message
