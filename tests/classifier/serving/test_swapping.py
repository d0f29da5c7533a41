"""One engine takes over from another without losing a request, and the reason for a fallback is always given."""

import hashlib
import threading
from contextlib import ExitStack
from functools import partial

import pytest
from support.models import ToyModel
from support.pictures import picture
from support.sites import post
from support.waiting import wait_until
from support.weights_server import weights_server

from app import create_app
from classifier.contract import Answer
from classifier.errors import StartupError
from classifier.models.downloads import RemoteFile, fetch
from classifier.serving.engine import LocalEngine
from classifier.serving.swapping import Succession, SwappingEngine
from classifier.storage.kept import KeptResults

SOON = 20  # seconds; only a broken engine ever waits so long
CONTENT = bytes(4_000_000)


class OpenEngine(LocalEngine):
    """Remembers whether it was closed."""

    is_closed = False

    def close(self):
        super().close()
        self.is_closed = True


def engine(name):
    return OpenEngine(ToyModel(name=name))


@pytest.fixture
def small():
    small = engine("small")
    yield small
    small.close()


@pytest.fixture
def swapping(small):
    swapping = SwappingEngine(small, "vgg16 is on its way.")
    yield swapping
    swapping.close()


@pytest.fixture
def server():
    with weights_server(CONTENT) as server:
        yield server


@pytest.fixture
def file(server, tmp_path):
    return RemoteFile("VGG16", server.url, tmp_path / "models" / "vgg16.h5", hashlib.md5(CONTENT).hexdigest())


@pytest.fixture
def client(swapping, settings):
    return create_app(swapping, settings, KeptResults(settings.uploads)).test_client()


def begin(swapping, file, load=None):
    Succession(swapping, "VGG16").start(partial(fetch, file), load or partial(engine, "vgg16"))


def test_the_next_engine_answers_and_the_one_before_is_closed(swapping, small):
    swapping.swap(engine("vgg16"))
    assert swapping.model.name == "vgg16"
    assert swapping.fallback() == ""
    assert isinstance(swapping.classify([picture()])[0], Answer)
    assert small.is_closed


def test_an_engine_that_is_held_stays_open(swapping, small):
    swap = threading.Thread(target=swapping.swap, args=(engine("vgg16"),))
    with swapping.held() as held:
        swap.start()
        wait_until(lambda: swapping.model.name == "vgg16", SOON)
        assert held.model.name == "small"
        assert isinstance(held.classify([picture()])[0], Answer)
    swap.join(SOON)
    assert small.is_closed


def test_an_engine_that_is_ready_after_the_end_is_closed(swapping):
    late = engine("vgg16")
    swapping.close()
    swapping.swap(late)
    assert late.is_closed


def test_the_fallback_answers_while_the_weights_come(swapping, client, server, file):
    server.go_on.clear()
    begin(swapping, file)
    reason = "VGG16 is being downloaded: 2 of 4 MB. Until then, small answers."
    wait_until(lambda: swapping.fallback() == reason, SOON)
    assert reason in client.get("/").text
    assert client.get("/readyz").json["fallback"] == reason
    assert post(client, picture(), json=True).json["model"] == "small"

    server.go_on.set()
    wait_until(lambda: swapping.model.name == "vgg16", SOON)
    assert "VGG16" not in client.get("/").text
    ready = client.get("/readyz").json
    assert ready["model"] == "vgg16"
    assert "fallback" not in ready
    assert post(client, picture(), json=True).json["model"] == "vgg16"


def test_everything_that_describes_the_model_follows(swapping, client):
    swapping.swap(OpenEngine(ToyModel(name="vgg16", size=(32, 32))))
    assert client.get("/v2/models/vgg16").json["name"] == "vgg16"
    assert client.get("/v2/models/small").status_code == 404
    document = client.get("/openapi.json").json
    assert document["components"]["schemas"]["ModelName"] == {"const": "vgg16"}
    assert "<strong>vgg16</strong>" in client.get("/").text
    pixels = {"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [0] * 32 * 32 * 3}
    assert client.post("/v2/models/vgg16/infer", json={"inputs": [pixels]}).status_code == 200


def test_a_result_keeps_the_name_of_the_model_that_gave_it(swapping, client):
    url = post(client, picture(), json=True).json["results"][0]["url"]
    swapping.swap(engine("vgg16"))
    assert client.get(url, headers={"Accept": "application/json"}).json["model"] == "small"


def test_no_request_is_lost_when_the_engines_change_places_under_load(swapping, settings, server, file):
    server.go_on.clear()
    app = create_app(swapping, settings, KeptResults(settings.uploads))
    seen, is_over = [], threading.Event()

    def ask():
        client = app.test_client()
        while not is_over.is_set():
            response = post(client, picture("lime"), json=True)
            document = response.json
            seen.append((response.status_code, document["model"], document["results"][0]["predictions"][0]["label"]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with ExitStack() as stack:
        stack.callback(is_over.set)
        for thread in threads:
            thread.start()
        begin(swapping, file)
        wait_until(lambda: len(seen) > 30, SOON)
        server.go_on.set()
        wait_until(lambda: sum(model == "vgg16" for _, model, _ in seen) > 30, SOON)
    for thread in threads:
        thread.join(SOON)
    assert {status for status, _, _ in seen} == {200}
    assert {label for _, _, label in seen} == {"Egyptian_cat"}
    assert {model for _, model, _ in seen} == {"small", "vgg16"}


def test_an_upload_that_began_before_is_answered_by_the_engine_that_admitted_it(swapping, small, settings):
    """The model's size is part of the request, so another model must not get its pixels."""
    app = create_app(swapping, settings, KeptResults(settings.uploads))
    swaps = threading.Thread(target=swapping.swap, args=(OpenEngine(ToyModel(name="vgg16", size=(32, 32))),))

    class SlowBody:
        """A body that ends when the other engine answers already."""

        def __init__(self, content):
            self.content = content

        def read(self, size=-1):
            if not swaps.ident:
                swaps.start()
                wait_until(lambda: swapping.model.name == "vgg16", SOON)
            sent, self.content = self.content[:size], self.content[size:]
            return sent

    body = picture("lime", size=(224, 224))
    environ = {"wsgi.input": SlowBody(body), "CONTENT_LENGTH": str(len(body))}
    response = app.test_client().post("/models/small", environ_overrides=environ, content_type="image/png")
    assert response.status_code == 200
    assert response.json[0]["label"] == "Egyptian_cat"
    swaps.join(SOON)
    assert small.is_closed


def test_weights_that_cannot_be_downloaded_are_a_calm_line_on_the_page(swapping, client, file, server, caplog):
    server.damages = 2
    begin(swapping, file)
    wait_until(lambda: "could not" in swapping.fallback(), SOON)
    reason = swapping.fallback()
    assert reason.startswith(
        "VGG16 could not be downloaded (127.0.0.1: the file arrived damaged 2 times), so small answers. Once this "
    )
    assert reason in client.get("/").text
    assert reason in caplog.text
    assert post(client, picture(), json=True).status_code == 200


@pytest.mark.parametrize("error", [StartupError("It does not fit."), MemoryError()])
def test_a_model_that_cannot_be_loaded_leaves_the_fallback(swapping, client, file, caplog, error):
    def load():
        raise error

    begin(swapping, file, load)
    reason = "VGG16 could not be loaded, so small answers; the log gives the reason."
    wait_until(lambda: swapping.fallback() == reason, SOON)
    assert reason in caplog.text
    assert client.get("/readyz").json["fallback"] == reason
    assert post(client, picture(), json=True).status_code == 200


def test_the_examples_are_those_of_the_model_that_answers(swapping, settings, tmp_path):
    for name in ("fallback", "model"):
        (tmp_path / name / "examples").mkdir(parents=True)
        (tmp_path / name / "examples" / f"{name}.png").write_bytes(picture())
    chosen = settings.model_copy(update={"model": str(tmp_path / "model"), "fallback": str(tmp_path / "fallback")})
    client = create_app(swapping, chosen, KeptResults(chosen.uploads)).test_client()
    assert "fallback.png" in client.get("/").text
    swapping.swap(engine("vgg16"))
    assert "model.png" in client.get("/").text
    assert client.get("/examples/fallback.png").status_code == 404
