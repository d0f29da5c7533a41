"""Thousands of damaged images: reading them raises only our own errors, quickly and without hoarding memory."""

import random
import resource
import time

import pytest
from hostile.mutations import SOURCES, mutated

from classifier.errors import ClassifierError
from classifier.photos import decode, fit

# What the site does, too (see images.py); here pytest would make errors of Pillow's warnings.
pytestmark = pytest.mark.filterwarnings("ignore")


ROUNDS = 400


def is_answered(data: bytes) -> bool:
    """Return whether the image is accepted; any error that is not ours fails the test."""
    try:
        image = decode.read(data)
    except ClassifierError:
        return False
    assert fit.to_pixels(image, (224, 224)).shape == (224, 224, 3)
    assert fit.to_preview(image).startswith(b"\xff\xd8")
    return True


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


@pytest.mark.parametrize("name", SOURCES)
def test_only_our_errors_leave_the_intake(name):
    chance = random.Random(name)
    assert is_answered(SOURCES[name])
    before_mb, outcomes = peak_mb(), set()
    for _ in range(ROUNDS):
        data = mutated(SOURCES[name], chance)
        started = time.process_time()
        outcomes.add(is_answered(data))
        assert time.process_time() - started < 5
    assert outcomes == {True, False}  # else the damage is too small or too large to find anything
    assert peak_mb() - before_mb < 1200
