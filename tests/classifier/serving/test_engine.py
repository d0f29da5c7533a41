"""The engine answers every photo or gives the reason why not, and the next photo works."""

import io
import threading

import numpy as np
import pytest
from serving import multipart
from support.models import ToyModel, poisoned
from support.pictures import picture
from support.sites import post
from support.waiting import wait_until

from app import create_app
from classifier.errors import BrokenImage, NoImage, Unavailable
from classifier.options import Limits
from classifier.serving.engine import Answer, LocalEngine
from classifier.storage.kept import KeptResults

SOON = 10  # seconds; only a broken engine ever waits so long


class HeldModel(ToyModel):
    """A model that can be held, and that fails on black (an exception) and white (not a number)."""

    def __init__(self):
        super().__init__()
        self.started = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        self.started.release()
        assert self.go_on.wait(SOON)
        return poisoned(super().__call__, images)


@pytest.fixture
def model():
    return HeldModel()


@pytest.fixture
def make(model):
    made = []

    def make(**options):
        made.append(LocalEngine(model, Limits().model_copy(update=options)))
        return made[-1]

    yield make
    model.go_on.set()
    for engine in made:
        engine.close()


def in_threads(function, arguments):
    """Call `function` with each argument at the same time; return the threads and the results, in order."""
    results = [None] * len(arguments)

    def call(i):
        results[i] = function(arguments[i])

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(arguments))]
    for thread in threads:
        thread.start()
    return threads, results


def best(answer):
    assert isinstance(answer, Answer), answer
    return answer.predictions[0].index


def hold(model, engine):
    """Keep the model busy with one photo, so that everything else has to wait."""
    model.go_on.clear()
    threads, _ = in_threads(engine.classify, [[picture()]])
    assert model.started.acquire(timeout=SOON)
    return threads


def test_photos_of_many_threads_are_run_together_and_each_gets_its_own_answer(make, model):
    engine = make()
    holding = hold(model, engine)
    colours = ["red", "lime", "blue"] * 5
    threads, results = in_threads(engine.classify, [[picture(colour)] for colour in colours])
    wait_until(lambda: engine.waiting() == len(colours), SOON)
    model.go_on.set()
    for thread in threads + holding:
        thread.join(SOON)
    assert [best(answer) for (answer,) in results] == [0, 1, 2] * 5
    assert model.batches == [1, 15]


def test_a_batch_is_no_larger_than_what_the_model_runs_best(make, model):
    model.largest_run = 2
    engine = make(max_batch=32)
    holding = hold(model, engine)
    threads, _ = in_threads(engine.classify, [[picture()] * 5])
    wait_until(lambda: engine.waiting() == 5, SOON)
    model.go_on.set()
    for thread in holding + threads:
        thread.join()
    assert model.batches == [1, 2, 2, 1]


def test_each_file_has_its_own_outcome(make):
    red, nothing, text, blue = make().classify([picture("red"), b"", picture()[:60], picture("blue")])
    assert (best(red), best(blue)) == (0, 2)
    assert isinstance(nothing, NoImage)
    assert isinstance(text, BrokenImage)


@pytest.mark.parametrize("poison", ["black", "white"], ids=["exception", "not a number"])
def test_a_poisoned_photo_is_unavailable_and_its_neighbours_are_answered(make, poison, caplog):
    engine = make()
    red, bad, blue = engine.classify([picture("red"), picture(poison), picture("blue")])
    assert (best(red), best(blue)) == (0, 2)
    assert isinstance(bad, Unavailable)
    assert "out of device memory" not in str(bad)
    assert "The model failed" in caplog.text
    assert best(engine.classify([picture("lime")])[0]) == 1


def test_a_photo_that_is_not_answered_in_time_is_told_so_and_not_run(make, model):
    engine = make(timeout_s=0.5)
    holding = hold(model, engine)
    (late,) = engine.classify([picture("lime")])
    assert isinstance(late, Unavailable)
    assert "no answer in time" in str(late)
    model.go_on.set()
    for thread in holding:
        thread.join(SOON)
    engine.close()
    assert model.batches == [1]


def test_when_all_decoders_are_busy_the_deadline_holds(make, monkeypatch):
    from classifier.photos import decode

    engine, begun, go_on, read = make(timeout_s=0.5), threading.Semaphore(0), threading.Event(), decode.read

    def held(*args):
        begun.release()
        assert go_on.wait(SOON)
        return read(*args)

    monkeypatch.setattr(decode, "read", held)
    threads, _ = in_threads(engine.classify, [[picture()]] * 2)
    for _ in threads:
        assert begun.acquire(timeout=SOON)
    (late,) = engine.classify([picture()])
    assert isinstance(late, Unavailable)
    go_on.set()
    for thread in threads:
        thread.join(SOON)


def test_no_more_photos_are_decoded_at_once_than_allowed(make, monkeypatch):
    from classifier.photos import decode

    decoding, most, lock = set(), [], threading.Lock()
    read = decode.read

    def watched(*args):
        me = threading.get_ident()
        with lock:
            decoding.add(me)
            most.append(len(decoding))
        try:
            return read(*args)
        finally:
            with lock:
                decoding.remove(me)

    monkeypatch.setattr(decode, "read", watched)
    threads, _ = in_threads(make().classify, [[picture(size=(1000, 1000))]] * 12)
    for thread in threads:
        thread.join(SOON)
    assert len(most) == 12
    assert max(most) <= 2


def test_a_model_that_does_not_come_back_is_noticed(make, model):
    engine = make(timeout_s=0.5)
    assert engine.is_alive()
    holding = hold(model, engine)
    engine.classify([picture()])  # gives up after the deadline
    assert not engine.is_alive()
    model.go_on.set()
    for thread in holding:
        thread.join(SOON)


def test_after_close_photos_are_refused(make):
    engine = make()
    engine.close()
    (refused,) = engine.classify([picture()])
    assert isinstance(refused, Unavailable)
    with pytest.raises(Unavailable), engine.admit():
        pass


@pytest.fixture
def site(make, model, settings):
    """A client of a site whose queue holds one photo, and whose model is held."""
    engine = make(max_waiting=1, timeout_s=SOON)
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    holding = hold(model, engine)
    threads, waiting = in_threads(engine.classify, [[picture("lime")]])
    wait_until(lambda: engine.waiting() == 1, SOON)
    yield client
    model.go_on.set()
    for thread in holding + threads:
        thread.join(SOON)
    assert best(waiting[0][0]) == 1


def test_a_full_queue_is_503_with_retry_after_before_the_upload_is_read(site, model, monkeypatch):
    monkeypatch.setattr("web.pages.upload.sent_photos", lambda *_: pytest.fail("the upload was read"))
    for json in (False, True):
        response = post(site, picture(), json=json)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "try again shortly" in response.get_data(as_text=True)
    assert site.get("/readyz").status_code == 503
    assert site.get("/healthz").status_code == 200
    assert site.get("/").status_code == 200


class SlowUpload(io.BytesIO):
    """A body that sends nothing before something else has happened."""

    def __init__(self, body, has_happened):
        super().__init__(body)
        self._has_happened = has_happened

    def readinto(self, buffer):
        wait_until(self._has_happened, SOON)
        return super().readinto(buffer)

    def read(self, size=-1):
        wait_until(self._has_happened, SOON)
        return super().read(size)


@pytest.mark.parametrize("path", ["/", "/models/toy"])
def test_a_photo_waits_for_one_whose_upload_is_being_read(make, model, settings, path):
    engine = make(max_wait_ms=SOON * 1000)
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    threads = []

    def other_photo_waits():
        if not threads:
            threads.extend(in_threads(engine.classify, [[picture("lime")]])[0])
        return engine.waiting() == 1

    body, headers = multipart("fileImage", picture()) if path == "/" else (picture(), {"Content-Type": "image/png"})
    upload = SlowUpload(body, other_photo_waits)
    response = client.post(path, input_stream=upload, content_length=len(body), headers=headers)
    assert response.status_code == 200
    for thread in threads:
        thread.join(SOON)
    assert model.batches == [2]


def test_health_and_readiness(client):
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").json == {"status": "ready", "model": "toy", "device": "CPU", "precision": "float32"}


def test_a_hung_model_is_neither_alive_nor_ready(make, model, settings):
    engine = make(timeout_s=0.5)
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    holding = hold(model, engine)
    assert post(client, picture(), json=True).status_code == 503
    for path in ("/healthz", "/readyz"):
        response = client.get(path, headers={"Accept": "application/json"})
        assert response.status_code == 503
        assert "must be replaced" in response.json["detail"]
    model.go_on.set()
    for thread in holding:
        thread.join(SOON)
    engine.close()  # returns when the held run has
    assert client.get("/healthz").status_code == 200


def test_a_failing_model_is_503_and_the_next_request_works(make, settings):
    client = create_app(make(), settings, KeptResults(settings.uploads)).test_client()
    for poison in ("black", "white"):
        response = post(client, picture(poison))
        assert response.status_code == 503
        assert "nan" not in response.get_data(as_text=True)
        assert post(client, picture("lime")).status_code == 200


def test_pixels_are_looked_at_as_they_are(make):
    engine = make()
    lime = np.zeros((224, 224, 3), np.uint8)
    lime[..., 1] = 255
    by_pixels, by_file = engine.classify_pixels([lime]), engine.classify([picture("lime")])
    assert by_pixels[0].predictions == by_file[0].predictions
    assert by_pixels[0].preview == b""


def test_an_answer_lists_as_many_classes_as_asked_for(make):
    engine = make(top=2)
    assert [len(engine.classify([picture("lime")], top)[0].predictions) for top in (None, 1, 3)] == [2, 1, 3]


def test_an_answer_tells_where_its_time_went(make, model):
    (answer, other) = make(max_wait_ms=1000).classify([picture("lime"), picture("red")])
    stages = answer.stages
    assert stages.batch == other.stages.batch == 2
    assert min(stages.decode, stages.predict) > 0
    assert stages.decode + stages.wait + stages.predict == pytest.approx(answer.seconds)


def test_a_model_elsewhere_is_left_when_all_is_answered():
    left = threading.Event()
    engine = LocalEngine(ToyModel(), on_close=left.set)
    assert isinstance(engine.classify([picture()])[0], Answer)
    assert not left.is_set()
    engine.close()
    assert left.is_set()
