"""The batcher's guarantees, tested with events and a clock, without sleeping."""

import random
import threading
import time
from concurrent.futures import CancelledError

import pytest
from serving import run_together
from support.waiting import SteppedClock

from classifier.serving.admission import Closed, Expired, Full, Throughput
from classifier.serving.batching import Batcher

SOON = 10  # seconds; only a broken batcher ever waits so long
FOREVER = 3600
NEVER = float("inf")  # a deadline
BOUNDS = {"max_batch": 32, "max_wait_s": 0.1, "max_waiting": 256}


def later() -> float:
    return time.monotonic() + 60


class Recorder:
    """A `run` that doubles its items, remembers its batches and can be held."""

    def __init__(self):
        self.batches = []
        self.started = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.after = lambda items: None

    def __call__(self, items):
        self.batches.append(list(items))
        self.started.release()
        assert self.go_on.wait(SOON)
        self.after(items)
        if any(item == "poison" for item in items):
            raise RuntimeError("poison")
        if any(item == "exit" for item in items):
            raise SystemExit
        return [item * 2 for item in items]


@pytest.fixture
def run():
    return Recorder()


@pytest.fixture
def make(run):
    """Batchers over `run`, closed in the end."""
    made = []

    def make(**options):
        made.append(Batcher(run, **(BOUNDS | options)))
        return made[-1]

    yield make
    run.go_on.set()
    for batcher in made:
        batcher.close(SOON)


@pytest.fixture
def held(run, make):
    """A batcher whose thread is busy with the item 0, so that whatever follows has to wait, until `run.go_on`."""

    def held(**options):
        run.go_on.clear()
        batcher = make(**options)
        first = batcher.submit(0, later())
        assert run.started.acquire(timeout=SOON)
        return batcher, first

    return held


def test_a_lone_item_is_run_alone_and_at_once(run, make):
    batcher = make(max_wait_s=FOREVER)
    assert batcher.submit(21, later()).result(SOON) == 42  # nobody else is expected, so the window stays shut
    assert run.batches == [[21]]


def test_what_waits_is_run_as_one_batch_in_order(run, held):
    batcher, _ = held(max_wait_s=FOREVER)
    futures = [batcher.submit(i, later()) for i in range(1, 6)]
    run.go_on.set()
    assert [future.result(SOON) for future in futures] == [2, 4, 6, 8, 10]
    assert run.batches == [[0], [1, 2, 3, 4, 5]]


def test_a_batch_is_never_larger_than_allowed(run, held):
    batcher, _ = held(max_batch=4)
    futures = [batcher.submit(i, later()) for i in range(10)]
    run.go_on.set()
    assert [future.result(SOON) for future in futures] == [i * 2 for i in range(10)]
    assert [len(batch) for batch in run.batches] == [1, 4, 4, 2]


def test_an_idle_thread_waits_for_an_expected_item(run, make):
    batcher = make(max_wait_s=FOREVER)
    with batcher.expect():
        first = batcher.submit(1, later())
        with batcher.expect():
            second = batcher.submit(2, later())
    assert (first.result(SOON), second.result(SOON)) == (2, 4)
    assert run.batches == [[1, 2]]


def test_the_window_shuts_when_the_expected_item_does_not_come(run, make):
    batcher = make(max_wait_s=0.01)
    with batcher.expect():
        assert batcher.submit(1, later()).result(SOON) == 2


def test_what_was_announced_long_ago_is_not_waited_for(run, make):
    clock = SteppedClock()
    batcher = make(max_wait_s=FOREVER, clock=clock)
    with batcher.expect():  # such as a slow upload
        clock.step(FOREVER)
        assert batcher.submit(1, clock() + SOON).result(SOON) == 2


@pytest.fixture
def answered_two(run, held):
    """Make a batcher that has answered two together, and its clock, by which each batch takes what `took` says."""

    def make(took):
        clock = SteppedClock()
        run.after = lambda items: clock.step(took.get(tuple(items), 0))
        batcher, _ = held(max_wait_s=FOREVER, clock=clock)
        futures = [batcher.submit(i, later()) for i in (1, 2)]
        run.go_on.set()
        assert [future.result(SOON) for future in futures] == [2, 4]
        return batcher, clock

    return make


def test_an_idle_thread_waits_for_as_many_as_it_answered_last(run, answered_two):
    batcher, _ = answered_two(took={(1, 2): 10 * FOREVER})
    futures = [batcher.submit(i, NEVER) for i in (3, 4)]
    assert [future.result(SOON) for future in futures] == [6, 8]
    assert run.batches == [[0], [1, 2], [3, 4]]


def test_it_waits_a_tenth_of_the_time_that_those_took_and_only_once(answered_two):
    batcher, _ = answered_two(took={(1, 2): SOON / 100, (3,): 10 * FOREVER})
    assert batcher.submit(3, NEVER).result(SOON) == 6
    assert batcher.submit(4, NEVER).result(SOON) == 8


def test_those_that_were_answered_long_ago_are_not_waited_for(answered_two):
    batcher, clock = answered_two(took={(1, 2): 10 * FOREVER})
    clock.step(FOREVER)
    assert batcher.submit(3, NEVER).result(SOON) == 6


def test_the_window_shuts_when_the_batch_is_full(run, make):
    batcher = make(max_wait_s=FOREVER, max_batch=2)
    with batcher.expect():
        futures = [batcher.submit(i, later()) for i in range(2)]
        assert [future.result(SOON) for future in futures] == [0, 2]


def test_a_full_queue_refuses_at_once(run, held):
    batcher, _ = held(max_waiting=3)
    futures = [batcher.submit(i, later()) for i in range(3)]
    with pytest.raises(Full):
        batcher.submit(3, later())
    with pytest.raises(Full):
        batcher.check_room(later())
    run.go_on.set()
    assert [future.result(SOON) for future in futures] == [0, 2, 4]
    assert batcher.submit(3, later()).result(SOON) == 6


def known(seconds):
    """A throughput of so many seconds an item."""
    throughput = Throughput()
    throughput.note(seconds=seconds, items=1)
    return throughput


def test_an_item_that_cannot_be_run_in_time_is_refused_at_once(run, held):
    batcher, _ = held(throughput=known(16))  # seconds that an item is thought to take; one is running
    waiting = [batcher.submit(i, later()) for i in range(2)]  # the second is expected after 48 s
    with pytest.raises(Full):
        batcher.submit(3, later())  # expected after 64 s, with 60 s to live
    run.go_on.set()
    assert [future.result(SOON) for future in waiting] == [0, 2]


def test_an_idle_batcher_takes_an_item_however_slow_it_is_thought_to_be(make):
    batcher = make(throughput=known(1000))
    assert batcher.submit(1, later()).result(SOON) == 2


def test_throughput_goes_by_items_not_by_batches():
    throughput = Throughput()
    assert throughput.seconds(5) == 0
    throughput.note(seconds=2.0, items=1)
    assert throughput.seconds(3) == 6
    for _ in range(100):
        throughput.note(seconds=7.0, items=7)
        throughput.note(seconds=2.0, items=1)
    assert throughput.seconds(8) == pytest.approx(9, rel=0.05)


def test_an_item_past_its_deadline_is_dropped_unrun(run, held):
    clock = SteppedClock()
    batcher, _ = held(clock=clock)
    late, good = batcher.submit("late", clock() + 60), batcher.submit(1, clock() + 120)
    clock.step(61)
    run.go_on.set()
    assert good.result(SOON) == 2
    with pytest.raises(Expired):
        late.result(SOON)
    assert run.batches == [[0], [1]]


def test_an_item_whose_waiter_gave_up_is_dropped_unrun(run, held):
    batcher, _ = held()
    given_up, good = batcher.submit("given up", later()), batcher.submit(1, later())
    assert given_up.cancel()
    run.go_on.set()
    assert good.result(SOON) == 2
    with pytest.raises(CancelledError):
        given_up.result(SOON)
    assert run.batches == [[0], [1]]


@pytest.mark.parametrize("bad", ["poison", "exit"])
def test_a_poisoned_item_fails_alone(run, held, bad):
    batcher, _ = held()
    before, poisoned, after = (batcher.submit(item, later()) for item in (1, bad, 3))
    run.go_on.set()
    assert (before.result(SOON), after.result(SOON)) == (2, 6)
    assert isinstance(poisoned.exception(SOON), RuntimeError | SystemExit)
    assert run.batches == [[0], [1, bad, 3], [1], [bad], [3]]
    assert batcher.submit(4, later()).result(SOON) == 8


def test_a_run_that_loses_results_is_an_error_not_a_mix_up(make):
    batcher = Batcher(lambda items: items[1:], **BOUNDS)
    with pytest.raises(ValueError, match="0 results for 1 items"):
        batcher.submit(1, later()).result(SOON)
    batcher.close(SOON)


def test_close_runs_what_waits_and_takes_no_more(run, held):
    batcher, first = held(max_batch=2)
    futures = [batcher.submit(i, later()) for i in range(5)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    run.go_on.set()
    closing.join(SOON)
    assert not closing.is_alive()
    assert [future.result(0) for future in [first, *futures]] == [0, 0, 2, 4, 6, 8]
    with pytest.raises(Closed):
        batcher.submit(1, later())


def test_the_watchdog_reads_how_long_a_batch_is_running(run, held):
    batcher, first = held()
    reading = batcher.running_for_s()
    assert reading > 0
    assert batcher.running_for_s() > reading
    run.go_on.set()
    first.result(SOON)
    batcher.close(SOON)
    assert batcher.running_for_s() == 0


def test_many_threads_with_poison_deadlines_and_cancelling_each_get_their_own(run, make):
    batcher = make(max_batch=8, max_waiting=1000, max_wait_s=0.001)
    wrong = []

    def client(seed):
        chance = random.Random(seed)
        for i in range(100):
            item, fate = seed * 1000 + i, chance.random()
            with batcher.expect():
                if fate < 0.1:
                    future = batcher.submit("poison", later())
                    expected = RuntimeError
                elif fate < 0.2:
                    try:
                        future = batcher.submit(item, time.monotonic() - 1)
                    except Full:
                        continue
                    expected = Expired
                else:
                    future = batcher.submit(item, later())
                    expected = item * 2
            if fate > 0.9:
                future.cancel()
                continue
            outcome = type(future.exception(SOON)) if future.exception(SOON) else future.result()
            if outcome != expected:
                wrong.append((expected, outcome))

    run_together((threading.Thread(target=client, args=(seed,)) for seed in range(16)), timeout_s=60)
    assert wrong == []
    assert batcher.submit(1, later()).result(SOON) == 2
