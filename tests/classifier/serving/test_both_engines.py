"""One contract, two engines: the local one and the one on Ray give the same answers."""

import threading
import time
from functools import partial

import numpy as np
import pytest
from support.models import HeldModel, Steering
from support.pictures import encoded, picture, textured
from support.ray_cluster import needs_ray, rays_warnings, started_cluster
from support.sites import post
from support.waiting import wait_until

from app import create_app
from classifier.contract import Answer
from classifier.errors import ClassifierError, NotExplainable, Unavailable
from classifier.options import Limits
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults

pytestmark = [rays_warnings, pytest.mark.ray]

SOON = 30  # seconds; only a broken engine ever waits so long
PHOTOS = [picture("red"), picture("lime"), picture("blue", format="JPEG"), encoded(textured((700, 500)), "WEBP")]
PHOTOS += [picture("olive")]
BAD = {
    "nothing": b"",
    "text": b"no image at all",
    "half a PNG": encoded(textured())[:2000],
    "half a JPEG": encoded(textured(), "JPEG")[:3000],
    "too many pixels": encoded(textured((2000, 1500))),
    "an unread format": encoded(textured(), "PPM"),
}
OPTIONS = {"max_megapixels": 2, "max_wait_ms": 5}


@pytest.fixture(scope="module")
def steering(tmp_path_factory):
    return Steering(tmp_path_factory.mktemp("held"))


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=needs_ray)])
def make(request, steering):
    """Make engines of one kind around the same model; keyword arguments are limits."""
    made = []

    def local(**bounds):
        return LocalEngine(HeldModel(steering.folder), Limits(**OPTIONS, **bounds))

    def on_ray(**bounds):
        from classifier.cluster.ray_serve import ServeReplicas
        from classifier.cluster.remote_engine import RemoteEngine

        started_cluster()
        load = partial(HeldModel, steering.folder)
        replicas = ServeReplicas(load, Limits(**OPTIONS), replicas=(1, 1), name="contract")
        return RemoteEngine(replicas, Limits(**bounds))

    def make(**bounds):
        made.append((local if request.param == "local" else on_ray)(**bounds))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="module")
def engine(make):
    return make()


@pytest.fixture
def oracle(steering):
    engine = LocalEngine(HeldModel(steering.folder), Limits(**OPTIONS))
    yield engine
    engine.close()


def told(error):
    assert isinstance(error, ClassifierError), error
    return type(error), str(error)


def is_same(answer, expected):
    assert isinstance(answer, Answer), answer
    assert [p.index for p in answer.predictions] == [p.index for p in expected.predictions]
    assert [p.label for p in answer.predictions] == [p.label for p in expected.predictions]
    assert [p.score for p in answer.predictions] == pytest.approx([p.score for p in expected.predictions], abs=1e-5)
    assert answer.broader == expected.broader
    np.testing.assert_allclose(answer.scores, expected.scores, atol=1e-5)
    return answer.preview == expected.preview


def test_the_same_answers_in_the_same_order(engine, oracle):
    for photos in (PHOTOS, PHOTOS[::-1], PHOTOS * 5):
        for answer, expected in zip(engine.classify(photos), oracle.classify(photos), strict=True):
            assert is_same(answer, expected)


def test_the_same_facts(engine, oracle):
    assert engine.model == oracle.model == HeldModel.info


def test_what_is_between_two_classes_has_their_broader_term_and_all_scores(engine):
    (answer,) = engine.classify([picture("olive")])
    assert (answer.broader.wnid, answer.broader.label) == ("n01861778", "mammal")
    assert answer.broader.score == pytest.approx(float(answer.scores[:2].sum()))
    assert answer.scores.shape == (3,)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_same_errors(engine, oracle, bad):
    (error,), (expected,) = engine.classify([bad]), oracle.classify([bad])
    assert told(error) == told(expected)


def test_bad_files_have_their_errors_among_the_answers(engine, oracle):
    photos = [PHOTOS[0], *BAD.values(), PHOTOS[1]]
    first, *errors, last = engine.classify(photos)
    expected_first, *expected, expected_last = oracle.classify(photos)
    assert is_same(first, expected_first)
    assert is_same(last, expected_last)
    assert [told(error) for error in errors] == [told(error) for error in expected]


@pytest.mark.parametrize("poison", ["black", "white"], ids=["exception", "not a number"])
def test_a_poisoned_photo_is_unavailable_and_its_neighbours_are_answered(engine, oracle, poison):
    photos = [picture("red"), picture(poison), picture("blue")]
    red, bad, blue = engine.classify(photos)
    assert (red.predictions[0].index, blue.predictions[0].index) == (0, 2)
    assert told(bad) == told(oracle.classify(photos)[1])


def test_pixels_are_looked_at_as_they_are(engine, oracle):
    pixels = [np.random.default_rng(i).integers(0, 255, (224, 224, 3), np.uint8) for i in range(3)]
    for answer, expected in zip(engine.classify_pixels(pixels), oracle.classify_pixels(pixels), strict=True):
        assert is_same(answer, expected)


def test_a_photo_is_answered_while_another_is_on_its_way(engine):
    with engine.admit():
        (answer,) = engine.classify([PHOTOS[0]])
    assert isinstance(answer, Answer)


def test_an_answer_lists_as_many_classes_as_asked_for(make):
    engine = make(top=2)
    assert [len(engine.classify([PHOTOS[0]], top)[0].predictions) for top in (None, 1, 3)] == [2, 1, 3]
    assert [len(engine.classify_pixels([np.zeros((224, 224, 3), np.uint8) + 9], 1)[0].predictions)] == [1]


def test_an_answer_tells_where_its_time_went(engine):
    (answer,) = engine.classify([PHOTOS[3]])
    stages = answer.stages
    assert stages.batch == 1
    assert min(stages.decode, stages.predict) > 0
    assert stages.decode + stages.wait + stages.predict == pytest.approx(answer.seconds)


def test_the_same_explanation(engine, oracle):
    explained, expected = engine.explain(lambda: PHOTOS[3], 2), oracle.explain(lambda: PHOTOS[3], 2)
    assert np.allclose(explained.heat, expected.heat, atol=1e-5)
    assert (explained.box, explained.size) == (expected.box, expected.size)


def test_the_same_errors_where_nothing_can_be_explained(engine, oracle):
    for file, index in ((PHOTOS[0], 99), (PHOTOS[0], -1), (BAD["half a PNG"], 0), (b"", 0)):
        with pytest.raises(ClassifierError) as error:
            engine.explain(lambda file=file: file, index)
        with pytest.raises(ClassifierError) as expected:
            oracle.explain(lambda file=file: file, index)
        assert told(error.value) == told(expected.value)
    assert error.type is not NotExplainable


def test_a_full_queue_refuses_at_once(make, steering):
    engine = make(max_batch=1, max_waiting=1)
    steering.hold()
    threads = []
    for waiting in (0, 1):
        threads.append(threading.Thread(target=engine.classify, args=([picture()],)))
        threads[-1].start()
        wait_until(lambda: steering.batches() == [1], SOON)
        wait_until(lambda waiting=waiting: engine.waiting() == waiting, SOON)
    started = time.monotonic()
    (refused,) = engine.classify([picture()])
    assert time.monotonic() - started < 1
    assert told(refused) == (
        Unavailable,
        "More photos are waiting than can be answered in time; please try again shortly.",
    )
    with pytest.raises(Unavailable, match="More photos are waiting"), engine.admit():
        pass
    steering.go_on()
    for thread in threads:
        thread.join(SOON)
    with engine.admit():
        assert engine.waiting() == 0


def test_a_photo_that_is_not_answered_in_time_is_told_so_and_not_run(make, steering):
    impatient = make(timeout_s=2)
    steering.hold()
    threads = [threading.Thread(target=impatient.classify, args=([picture()],))]
    threads[0].start()
    wait_until(lambda: steering.batches() == [1], SOON)
    (late,) = impatient.classify([picture("lime")])
    assert told(late) == (
        Unavailable,
        "There was no answer in time, because many photos are waiting; please try again shortly.",
    )
    steering.go_on()
    threads[0].join(SOON)
    assert isinstance(impatient.classify([picture("red")])[0], Answer)
    assert steering.batches() == [1, 1]  # the held one and the last


def test_after_close_photos_are_refused(make):
    engine = make()
    engine.close()
    (refused,) = engine.classify([picture()])
    assert told(refused) == (Unavailable, "The site is being restarted; please try again shortly.")
    with pytest.raises(Unavailable), engine.admit():
        pass


def test_the_site_around_it(engine, settings):
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    assert client.get("/readyz").json == {"status": "ready", "model": "toy", "device": "CPU", "precision": "float32"}
    assert client.get("/healthz").json == {"status": "alive"}
    assert "blue jay (" in post(client, picture("blue")).get_data(as_text=True)
    assert [post(client, bad, json=True).status_code for bad in BAD.values()] == [400, 415, 422, 422, 413, 415]
    assert post(client, picture("white"), json=True).status_code == 503
