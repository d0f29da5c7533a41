"""The best classes, of one photo and of several together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers

from classifier.contract import Label
from classifier.ranking import combined, ranked

PROBABILITIES = integers(1, 6).flatmap(lambda n: arrays(np.float32, (n, 4), elements=floats(0, 1, width=32)))


def test_the_best_come_first_and_the_first_of_equal_ones_stays_first():
    labels = [Label(f"n{index}", name) for index, name in enumerate("abcd")]
    found = ranked(np.array([0.2, 0.3, 0.2, 0.3], np.float32), labels, 3)
    assert [(best.index, best.wnid, best.label) for best in found] == [(1, "n1", "b"), (3, "n3", "d"), (0, "n0", "a")]


def test_together_is_the_geometric_mean():
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.1, 0.4]], np.float32)
    means = np.prod(scores.astype(float), axis=0) ** (1 / 3)
    np.testing.assert_allclose(combined(list(scores)), means / means.sum(), rtol=1e-6)


def test_one_photo_alone_stays_as_it_is():
    scores = np.array([0.7, 0.2, 0.1], np.float32)
    np.testing.assert_allclose(combined([scores]), scores, rtol=1e-6)


def test_photos_that_agree_make_the_answer_surer_than_their_average():
    """Each is unsure between the right class and another one, which differs."""
    scores = [np.array([0.5, 0.5, 1e-6], np.float32), np.array([0.5, 1e-6, 0.5], np.float32)]
    assert combined(scores)[0] > 0.99


@settings(deadline=None, derandomize=True, database=None)
@given(PROBABILITIES)
def test_it_is_always_a_distribution(scores):
    found = combined(list(scores))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-5)
