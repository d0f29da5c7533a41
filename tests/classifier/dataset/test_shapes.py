"""The drawn data set is reproducible and sound, and it never overwrites an existing folder."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from classifier.dataset.check import inspect, problems
from classifier.dataset.shapes import CONTRAST, DARK, LUMA, SHAPES, add_shape, contrasting, draw
from classifier.errors import DataError
from classifier.photos import decode


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg")
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "shapes"
    draw(folder, per_class=20)
    return folder


def test_there_is_a_folder_per_shape_with_numbered_photos(drawn):
    assert sorted(path.name for path in drawn.iterdir()) == sorted(SHAPES) == ["circle", "square", "star", "triangle"]
    assert sorted(digests(drawn)) == sorted(f"{name}/{name}-{i:03}.jpg" for name in SHAPES for i in range(1, 21))


def test_the_same_seed_draws_the_same(drawn, tmp_path):
    draw(tmp_path / "again", per_class=20)
    assert digests(tmp_path / "again") == digests(drawn)


def test_another_seed_draws_others(drawn, tmp_path):
    draw(tmp_path / "other", per_class=20, seed=1)
    assert not set(digests(tmp_path / "other").values()) & set(digests(drawn).values())


def test_more_pictures_begin_with_the_same(drawn, tmp_path):
    draw(tmp_path / "few", per_class=3)
    assert digests(tmp_path / "few").items() <= digests(drawn).items()


def test_all_can_be_read_at_the_size_asked_for(tmp_path):
    draw(tmp_path, per_class=2, size=64)
    assert {decode.read(path.read_bytes(), (64, 64)).size for path in tmp_path.rglob("*.jpg")} == {(64, 64)}


def test_a_check_finds_nothing_amiss(drawn):
    found = inspect(drawn)
    assert problems(found) == []
    assert (found.unreadable, found.same, found.similar) == ([], [], [])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_takes_up_as_much_as_any_other_and_stays_in_the_middle(shape):
    side = 400
    for seed in range(10):
        image = Image.new("L", (side, side))
        add_shape(image, SHAPES[shape], 255, np.random.default_rng(seed))
        share = np.random.default_rng(seed).uniform(0.08, 0.2)
        assert np.asarray(image).mean() / 255 == pytest.approx(share, rel=0.03)
        left, upper, right, lower = image.getbbox()
        assert min(left, upper) >= side / 16 - 1
        assert max(right, lower) <= side * 15 / 16 + 1


def test_a_shape_is_clearly_lighter_than_its_ground():
    rng = np.random.default_rng(0)
    for ground in rng.uniform(0, DARK, (500, 3)):
        assert (contrasting(ground, rng) - ground) @ LUMA >= CONTRAST


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        draw(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be created: [A-Z].*\.$"):
        draw(tmp_path / "file" / "folder")
