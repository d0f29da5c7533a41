"""Explanations are bounded: few wait, none delays a photo, nobody waits longer than the deadline."""

import threading

import pytest
from support.models import ToyModel
from support.pictures import picture
from support.sites import post
from support.waiting import wait_until

from app import create_app
from classifier.contract import Answer, Explanation
from classifier.errors import NotExplainable, Unavailable, UnsupportedImage
from classifier.options import Limits
from classifier.serving.admission import MAX_EXPLANATIONS
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults

SOON = 10  # seconds; only a broken engine ever waits so long
PHOTO = picture()


class Recorder(ToyModel):
    """Notes what it is asked for, in order; photos can be held, and so can explanations."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.photos_go_on, self.explanations_go_on = threading.Event(), threading.Event()
        self.photos_go_on.set()
        self.explanations_go_on.set()
        self.failing = False

    def __call__(self, images):
        self.calls.append(f"{len(images)} photos")
        assert self.photos_go_on.wait(SOON)
        return super().__call__(images)

    def explain(self, image, index):
        self.calls.append(f"why {index}")
        assert self.explanations_go_on.wait(SOON)
        if self.failing:
            raise MemoryError("out of device memory")
        return super().explain(image, index)


@pytest.fixture
def model():
    model = Recorder()
    yield model
    model.photos_go_on.set()
    model.explanations_go_on.set()


@pytest.fixture
def make(model):
    made = []

    def make(**limits):
        made.append(LocalEngine(model, Limits(**limits)))
        return made[-1]

    yield make
    model.photos_go_on.set()
    model.explanations_go_on.set()
    for engine in made:
        engine.close()


class InThreads:
    """Calls that run side by side; `outcomes` has what they gave or raised."""

    def __init__(self):
        self.threads, self.outcomes = [], []

    def start(self, function, *args):
        def call():
            try:
                self.outcomes.append(function(*args))
            except Exception as error:
                self.outcomes.append(error)

        self.threads.append(threading.Thread(target=call))
        self.threads[-1].start()

    def join(self):
        for thread in self.threads:
            thread.join(SOON)
        return self.outcomes


def why(engine, index=0, photo=PHOTO):
    return engine.explain(lambda: photo, index)


def hold_photos(model, engine, calls, waiting=0):
    """Keep the model busy with one photo, and let others wait."""
    model.photos_go_on.clear()
    for count in range(1 + waiting):
        calls.start(engine.classify, [PHOTO])
        wait_until(lambda: model.calls == ["1 photos"], SOON)
        wait_until(lambda count=count: engine.waiting() == count, SOON)


def test_an_idle_engine_explains_at_once(make, model):
    assert isinstance(why(make()), Explanation)
    assert model.calls == ["why 0"]


def test_while_photos_wait_no_explanation_is_run(make, model):
    engine, calls, reads = make(max_batch=1), InThreads(), threading.Semaphore(0)
    hold_photos(model, engine, calls, waiting=3)
    calls.start(engine.explain, lambda: reads.release() or PHOTO, 1)
    assert reads.acquire(timeout=SOON)
    model.photos_go_on.set()
    assert all(isinstance(outcome, list | Explanation) for outcome in calls.join())
    assert model.calls == ["1 photos"] * 4 + ["why 1"]


def test_photos_wait_for_the_explanation_that_is_running_and_for_no_other(make, model):
    engine, calls = make(max_batch=1), InThreads()
    model.explanations_go_on.clear()
    for index in (0, 1, 2):
        calls.start(why, engine, index)
    wait_until(lambda: len(model.calls) == 1, SOON)
    for _ in range(2):
        calls.start(engine.classify, [PHOTO])
    wait_until(lambda: engine.waiting() == 1, SOON)  # the other one is next on the device
    model.explanations_go_on.set()
    calls.join()
    assert model.calls[1:3] == ["1 photos"] * 2
    assert len(model.calls) == 5


def test_beyond_the_bound_a_request_is_refused_at_once_and_its_photo_not_read(make, model):
    engine, calls = make(), InThreads()
    reads = threading.Semaphore(0)
    model.explanations_go_on.clear()
    for index in range(MAX_EXPLANATIONS):
        calls.start(engine.explain, lambda: reads.release() or PHOTO, index % 3)
    for _ in range(MAX_EXPLANATIONS):
        assert reads.acquire(timeout=SOON)
    with pytest.raises(Unavailable, match="More explanations are waiting"):
        engine.explain(lambda: pytest.fail("It was read."), 0)
    model.explanations_go_on.set()
    assert all(isinstance(outcome, Explanation) for outcome in calls.join())
    assert isinstance(why(engine), Explanation)


def test_an_explanation_that_waits_too_long_is_refused_and_not_computed(make, model):
    engine, calls = make(timeout_s=0.5), InThreads()
    hold_photos(model, engine, calls)
    with pytest.raises(Unavailable, match="no answer in time"):
        why(engine)
    model.photos_go_on.set()
    calls.join()
    engine.close()
    assert model.calls == ["1 photos"]


def test_equal_requests_share_one_explanation(make, model):
    engine, calls, reads = make(), InThreads(), threading.Semaphore(0)
    model.explanations_go_on.clear()
    for _ in range(5):
        calls.start(engine.explain, lambda: reads.release() or PHOTO, 2)
    for _ in range(5):
        assert reads.acquire(timeout=SOON)
    model.explanations_go_on.set()
    first, *others = calls.join()
    assert all(other is first for other in others)
    assert why(engine, 2) is first
    assert model.calls == ["why 2"]
    why(engine, 1)
    why(engine, 2, picture("blue"))
    assert model.calls == ["why 2", "why 1", "why 2"]


def test_a_failure_is_not_remembered(make, model, caplog):
    engine = make()
    model.failing = True
    with pytest.raises(Unavailable, match="The model failed"):
        why(engine)
    assert "out of device memory" in caplog.text
    model.failing = False
    assert isinstance(why(engine), Explanation)


def test_errors_are_the_photos_own(make, model):
    engine = make()
    with pytest.raises(UnsupportedImage):
        why(engine, photo=b"no image at all")
    with pytest.raises(NotExplainable, match="no class 3; this model has 3"):
        engine.explain(lambda: pytest.fail("It was read."), 3)
    with pytest.raises(ZeroDivisionError):
        engine.explain(lambda: 1 // 0, 0)
    assert model.calls == []


def test_an_explanation_that_hangs_is_noticed(make, model):
    engine, calls = make(timeout_s=0.3), InThreads()
    model.explanations_go_on.clear()
    with pytest.raises(Unavailable):
        why(engine)
    wait_until(lambda: not engine.is_alive(), SOON)
    model.explanations_go_on.set()
    calls.join()


def test_after_close_explanations_are_refused(make):
    engine = make()
    engine.close()
    with pytest.raises(Unavailable, match="restarted"):
        why(engine)


def test_the_site_refuses_with_503_and_retry_after_before_it_looks_for_the_picture(make, model, settings, monkeypatch):
    engine, calls = make(), InThreads()
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    url = post(client, PHOTO, json=True).json["results"][0]["url"]
    model.explanations_go_on.clear()
    reads = threading.Semaphore(0)
    for _ in range(MAX_EXPLANATIONS):
        calls.start(engine.explain, lambda: reads.release() or PHOTO, 0)
    for _ in range(MAX_EXPLANATIONS):
        assert reads.acquire(timeout=SOON)
    monkeypatch.setattr(KeptResults, "picture", lambda *_: pytest.fail("The picture was read."))
    response = client.get(f"{url}/why?class=0", headers={"Accept": "application/json"})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    model.explanations_go_on.set()
    (answer,) = engine.classify([PHOTO])
    assert isinstance(answer, Answer)
    calls.join()
