"""Photos come first on the device; explanations have the gaps between them."""

import threading

import pytest
from support.waiting import wait_until

from classifier.serving import turns as turns_module
from classifier.serving.admission import Expired
from classifier.serving.turns import BURST, PAUSES, Turns

SOON = 10  # seconds; only broken turns ever wait so long
NEVER = float("inf")


class Clock:
    """A clock that the test sets; each look at it takes `look_s`."""

    now = 1000.0
    look_s = 0.0

    def __call__(self):
        self.now += self.look_s
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(turns_module, "LOOK_AGAIN_S", 0)
    return Clock()


def run_photos(turns, clock, seconds=1.0):
    with turns.photos():
        clock.now += seconds


def is_explained(turns, clock, seconds=1.0):
    """Whether an explanation has its turn now."""
    clock.look_s = 1e-6
    try:
        with turns.explanation(clock.now + 1e-5):
            clock.now += seconds
    except Expired:
        return False
    return True


def test_a_free_device_is_given_at_once(clock):
    turns = Turns(lambda: False, 100, clock)
    assert turns.taken_for_s() == 0
    with turns.explanation(NEVER):
        clock.now += 7
        assert turns.taken_for_s() == 7
    assert turns.taken_for_s() == 0


def test_while_photos_are_coming_no_explanation_is_run_and_it_expires(clock):
    turns = Turns(lambda: True, 100, clock)
    clock.look_s = 1
    with pytest.raises(Expired), turns.explanation(clock.now + 5):
        pytest.fail("It had its turn.")
    assert turns.taken_for_s() == 0


def test_photos_that_wait_for_an_explanation_are_next():
    turns, order, second_waits = Turns(lambda: False, 100), [], threading.Event()

    def photos():
        with turns.photos():
            order.append("photos")

    def explanation():
        second_waits.set()
        with turns.explanation(NEVER):
            order.append("explanation")

    with turns.explanation(NEVER):
        threads = [threading.Thread(target=target) for target in (explanation, photos)]
        for thread in threads:
            thread.start()
        assert second_waits.wait(SOON)
        wait_until(lambda: turns.are_photos_here, SOON)
        assert order == []
    for thread in threads:
        thread.join(SOON)
    assert order == ["photos", "explanation"]


def test_while_photos_keep_coming_at_most_one_batch_in_twenty_meets_an_explanation(clock):
    turns = Turns(lambda: False, NEVER, clock)
    explained = 0
    for _ in range(200):
        run_photos(turns, clock)
        explained += is_explained(turns, clock, seconds=0.1)
    assert BURST + 200 / PAUSES - 2 <= explained <= BURST + 200 / PAUSES + 1


def test_the_pause_is_bounded(clock):
    turns = Turns(lambda: False, 10, clock)
    explained = 0
    for _ in range(100):
        run_photos(turns, clock, seconds=4)  # twenty of these would be 80 s
        explained += is_explained(turns, clock, seconds=0)
    assert 400 / 10 <= explained <= BURST + 400 / 10


def test_on_a_quiet_site_explanations_follow_one_another(clock):
    turns = Turns(lambda: False, 100, clock)
    run_photos(turns, clock)
    clock.now += PAUSES + 0.1
    assert all(is_explained(turns, clock) for _ in range(50))


def test_the_first_explanation_which_builds_the_graph_does_not_set_the_pause(clock):
    turns = Turns(lambda: False, NEVER, clock)
    run_photos(turns, clock, seconds=0.1)
    assert is_explained(turns, clock, seconds=60)
    for _ in range(BURST):
        assert is_explained(turns, clock, seconds=0.1)
        clock.now += 0.2 * PAUSES
        run_photos(turns, clock, seconds=0.1)
