"""Which broader term is sure, and when a name is sure by itself."""

import pickle

import numpy as np
import pytest

from classifier.contract import Label, ModelInfo
from classifier.terms import NO_TERMS, SURE, Broader, Term, Terms, certainty

# The classes: a collie, a beagle, a tabby, a goldfish and a canoe.
TERMS = Terms((Term("n1", "animal", (0, 1, 2, 3)), Term("n2", "dog", (0, 1)), Term("n3", "mammal", (0, 1, 2))))
DOG = Broader("n2", "dog", 0.7)


def surest(*scores):
    return TERMS.surest(np.array(scores, np.float32))


@pytest.mark.parametrize(
    ("scores", "label", "score"),
    [
        ((0.4, 0.3, 0.2, 0.1, 0.0), "dog", 0.7),
        ((0.3, 0.2, 0.25, 0.15, 0.1), "mammal", 0.75),
        ((0.2, 0.1, 0.3, 0.2, 0.2), "mammal", 0.6),
        ((0.2, 0.1, 0.1, 0.35, 0.25), "animal", 0.75),
        ((0.9, 0.0, 0.0, 0.0, 0.1), "dog", 0.9),
    ],
)
def test_it_is_the_narrowest_that_is_sure(scores, label, score):
    found = surest(*scores)
    assert found.label == label
    assert found.score == pytest.approx(score)


def test_it_lies_above_the_best_class():
    assert surest(0.15, 0.15, 0.15, 0.15, 0.4) is None
    assert surest(0.3, 0.2, 0.1, 0.0, 0.4) is None


def test_none_is_sure_below_the_bound():
    assert surest(0.3, 0.0, 0.1, SURE - 0.02 - 0.4, 0.29) is None


def test_no_probability_exceeds_one():
    third = np.float32(1 / 3)
    assert Terms((Term("", "one", (0, 1, 2)),)).surest(np.array([third + 1e-7] * 3, np.float32)).score == 1.0


def test_a_model_without_terms_has_none():
    assert not NO_TERMS
    assert NO_TERMS.surest(np.array([0.4, 0.6], np.float32)) is None


def test_terms_travel_between_processes():
    surest(0.4, 0.3, 0.2, 0.1, 0.0)
    there = pickle.loads(pickle.dumps(TERMS))
    assert there == TERMS
    assert there.surest(np.array([0.4, 0.3, 0.2, 0.1, 0.0], np.float32)).label == "dog"


@pytest.mark.parametrize(
    ("score", "sure_from", "expected"),
    [
        (0.3, 0.0, (None, None)),
        (0.3, 0.55, (False, DOG)),
        (0.55, 0.55, (True, None)),
        (0.3, 0.8, (False, None)),
    ],
)
def test_a_name_or_a_term_is_sure_from_the_same_probability_on(score, sure_from, expected):
    assert certainty(score, DOG, sure_from) == expected


@pytest.mark.parametrize(
    ("own", "terms", "set_to", "expected"),
    [
        (0.0, NO_TERMS, None, 0.0),
        (0.0, TERMS, None, SURE),
        (0.3, NO_TERMS, None, 0.3),
        (0.3, TERMS, None, 0.3),
        (0.3, TERMS, 0.9, 0.9),
        (0.3, TERMS, 0.0, 0.0),
        (0.0, TERMS, 0.0, 0.0),
    ],
)
def test_a_threshold_comes_before_what_a_model_with_terms_has(own, terms, set_to, expected):
    labels = [Label("", str(index)) for index in range(5)]
    info = ModelInfo("toy", labels, (2, 2), "crop", "CPU", "float32", False, own, terms=terms)
    assert info.sure_from(set_to) == expected
