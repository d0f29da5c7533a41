"""Every photo is in exactly one part, every class is in every part, and the split is reproducible."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.dataset.layout import Photo
from classifier.dataset.options import PARTS
from classifier.dataset.reading import Dataset
from classifier.dataset.split import split
from classifier.errors import DataError

CLASSES = ["daisy", "rose", "tulip"]


def made(counts, given=None, bursts=1):
    """A dataset of so many photos per class, without pixels; `given` maps (part) to such counts instead.

    Each photo is a near copy of `bursts` - 1 others.
    """
    sources = given or {None: counts}
    photos = [
        Photo(Path(f"{part}/{label}/{i}"), label, part)
        for part, some in sources.items()
        for label, count in enumerate(some)
        for i in range(count)
    ]
    digests = [str(photo.path) for photo in photos]
    hashes = np.random.default_rng(0).integers(0, 2**64, (len(photos), 4), np.uint64)[np.arange(len(photos)) // bursts]
    pixels = np.zeros((1, 1, 1, 3), np.uint8)
    return Dataset(Path("."), CLASSES, photos, digests, [], np.arange(len(photos)), pixels, hashes)


def counts(dataset, parts):
    return {part: np.bincount(dataset.labels[indices], minlength=3).tolist() for part, indices in parts.items()}


def test_parts_are_disjoint_and_complete():
    dataset = made([50, 33, 7])
    parts = split(dataset, 0.1, 0.2, seed=0)
    assert tuple(parts) == PARTS
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(90))


def test_each_class_is_divided_alike():
    dataset = made([100, 50, 10])
    assert counts(dataset, split(dataset, 0.1, 0.2, 3)) == {
        "train": [70, 35, 7], "validation": [10, 5, 1], "test": [20, 10, 2],
    }  # fmt: skip


@pytest.mark.parametrize("validation", [0.01, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("test", [0.01, 0.2, 0.45])
@pytest.mark.parametrize("size", [3, 4, 7, 40, 200])
def test_shares_are_of_all_photos_to_within_a_photo_and_none_is_empty(validation, test, size):
    dataset = made([size] * 3)
    for part, found in counts(dataset, split(dataset, validation, test, 0)).items():
        share = {"validation": validation, "test": test, "train": 1 - validation - test}[part]
        assert min(found) >= 1
        if size >= 40:
            assert all(abs(count - share * size) <= 1.5 for count in found)


def test_the_same_seed_divides_the_same_and_another_does_not():
    dataset = made([40, 40, 40])
    first, again, other = (split(dataset, 0.1, 0.2, seed) for seed in (5, 5, 6))
    for part in PARTS:
        np.testing.assert_array_equal(first[part], again[part])
        assert set(first[part].tolist()) != set(other[part].tolist())


def test_given_parts_are_taken_as_they_are():
    dataset = made(None, {"train": [3, 4, 5], "validation": [1, 2, 1], "test": [2, 1, 1]})
    for seed in range(3):
        parts = split(dataset, 0.1, 0.2, seed)
        assert {part: {dataset.photos[i].part for i in indices} for part, indices in parts.items()} == {
            part: {part} for part in PARTS
        }


@pytest.mark.parametrize(("given", "drawn"), [("test", "validation"), ("validation", "test")])
def test_a_part_that_is_not_given_is_drawn_from_the_training_photos(given, drawn):
    dataset = made(None, {"train": [40, 40, 40], given: [5, 5, 5]})
    parts = split(dataset, 0.1, 0.2, 0)
    assert {dataset.photos[i].part for i in parts[given]} == {given}
    assert len(parts[given]) == 15
    assert {dataset.photos[i].part for i in parts[drawn]} == {"train"}
    assert min(counts(dataset, parts)[drawn]) >= 1


def refusal(dataset):
    with pytest.raises(DataError, match=r"^There is no photo of [^\n]*\.$") as raised:
        split(dataset, 0.1, 0.2, 0)
    assert "three readable, different photos" in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("few", [1, 2])
def test_a_class_with_one_or_two_photos_is_named(few):
    assert "There is no photo of rose for" in refusal(made([20, few, 20]))


def test_three_photos_are_enough():
    dataset = made([3, 20, 20])
    assert [found[0] for found in counts(dataset, split(dataset, 0.1, 0.2, 0)).values()] == [1, 1, 1]


def test_a_class_without_photos_is_named():
    assert "There is no photo of tulip to train on" in refusal(made([20, 20, 0]))


def test_no_photos_at_all_is_the_same_sentence():
    assert "There is no photo of daisy, rose, tulip to train on" in refusal(made([0, 0, 0]))


def test_a_class_that_a_given_part_lacks_is_named():
    assert "no photo of rose for the test" in refusal(made(None, {"train": [9, 9, 9], "test": [2, 0, 2]}))


def test_test_photos_alone_train_nothing():
    assert "to train on" in refusal(made(None, {"test": [9, 9, 9]}))


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_stay_in_one_part_and_the_shares_are_kept(seed):
    dataset = made([60, 60, 60], bursts=3)
    parts = split(dataset, 0.1, 0.2, seed)
    bursts = {part: set((indices // 3).tolist()) for part, indices in parts.items()}
    assert sum(map(len, bursts.values())) == len(set().union(*bursts.values())) == 60
    assert counts(dataset, parts) == {"train": [42] * 3, "validation": [6] * 3, "test": [12] * 3}


def test_near_copies_in_two_classes_stay_in_one_part():
    dataset = made([20, 20, 20])
    dataset.hashes[20:40] = dataset.hashes[:20]
    part_of = {i: part for part, indices in split(dataset, 0.1, 0.2, 0).items() for i in indices.tolist()}
    assert all(part_of[i] == part_of[20 + i] for i in range(20))


def test_variants_that_roboflow_named_stay_in_one_part():
    dataset = made([30, 30, 30])
    photos = [photo._replace(path=Path(f"{i // 3}_jpg.rf.{i}.jpg")) for i, photo in enumerate(dataset.photos)]
    parts = split(replace(dataset, photos=photos), 0.1, 0.2, 0)
    sources = [set((indices // 3).tolist()) for indices in parts.values()]
    assert sum(map(len, sources)) == 30


def test_a_class_of_one_burst_cannot_be_divided():
    with pytest.raises(DataError, match=r"no photo of daisy, .* near copies count as one"):
        split(made([12, 12, 12], bursts=12), 0.1, 0.2, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_small_class_inside_a_larger_one_is_in_every_part(seed):
    dataset = made([40, 3, 20])
    dataset.hashes[40:43] = dataset.hashes[:3]
    assert [found[1] for found in counts(dataset, split(dataset, 0.1, 0.2, seed)).values()] == [1, 1, 1]
