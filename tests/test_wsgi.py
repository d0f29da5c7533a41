"""`wsgi` serves a fallback while, or because, the weights of the model are not there."""

import importlib
import io
import sys
import threading
from contextlib import ExitStack, closing
from importlib.resources import files
from pathlib import Path

import pytest
from serving import free_port
from support.sites import post
from support.waiting import wait_until
from support.weights_server import weights_server

pytestmark = pytest.mark.tensorflow

SOON = 120  # seconds; only a broken site ever takes so long
CAT = Path(str(files("skimage"))) / "data" / "chelsea.png"
TABBY = 281


@pytest.fixture(scope="module")
def content():
    """MobileNetV2's file in the layout of Keras' own: random weights, and a bias for which everything is a tabby."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    from classifier.models import weights

    network = keras.applications.MobileNetV2(weights=None)
    weights.randomise(network)
    kernel, bias = network.get_layer("predictions").get_weights()
    bias[TABBY] = 100
    network.get_layer("predictions").set_weights([kernel, bias])
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return buffer.getvalue()


@pytest.fixture
def server(content):
    with weights_server(content) as server:
        yield server


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Import `wsgi` with settings, and with Keras' weights at another address; gives its app."""
    from keras.src.applications import mobilenet_v2
    from keras.src.backend import config

    def start(address, **settings):
        monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
        monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", address)
        for name, value in {"MODEL": "mobilenet_v2", "UPLOADS": str(tmp_path / "uploads"), **settings}.items():
            monkeypatch.setenv(f"CLASSIFIER_{name}", value)
        monkeypatch.delitem(sys.modules, "wsgi", raising=False)
        app = importlib.import_module("wsgi").app
        engines.enter_context(closing(app.extensions["engine"]))
        return app

    with ExitStack() as engines:
        yield start
    sys.modules.pop("wsgi", None)


def first(client):
    """Return the status, the model and the first name of the answer to a photo of a cat."""
    response = post(client, CAT.read_bytes(), json=True)
    return response.status_code, response.json["model"], response.json["results"][0]["predictions"][0]["label"]


def test_the_fallback_answers_until_the_weights_are_there(start, server):
    server.go_on.clear()
    app = start(server.url, FALLBACK="efficientnet_lite2")
    client = app.test_client()
    total = len(server.content) / 1e6
    progress = (
        f"MobileNetV2 is being downloaded: {total / 2:.0f} of {total:.0f} MB. Until then, efficientnet_lite2 answers."
    )
    wait_until(lambda: progress in client.get("/").text, SOON)
    found, is_over = {first(client)}, threading.Event()

    def ask():
        while not is_over.is_set():
            found.add(first(app.test_client()))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    server.go_on.set()
    after = (200, "mobilenet_v2", "tabby")
    wait_until(lambda: after in found, SOON)
    is_over.set()
    for thread in asking:
        thread.join()
    assert found == {(200, "efficientnet_lite2", "Egyptian_cat"), after}
    assert "fallback" not in client.get("/readyz").json


def test_the_fallback_stays_if_the_weights_cannot_be_downloaded(start):
    client = start(f"http://127.0.0.1:{free_port()}/", FALLBACK="efficientnet_lite2").test_client()
    reason = "MobileNetV2 could not be downloaded (127.0.0.1: Connection refused), so efficientnet_lite2 answers."
    wait_until(lambda: reason in client.get("/readyz").json["fallback"], SOON)
    assert reason in client.get("/").text
    assert first(client) == (200, "efficientnet_lite2", "Egyptian_cat")


def test_without_a_fallback_the_site_waits_for_the_weights(start, server):
    assert first(start(server.url).test_client()) == (200, "mobilenet_v2", "tabby")
    assert server.ranges == [""]


def test_without_a_fallback_it_does_not_start_without_them(start, capsys):
    with pytest.raises(SystemExit):
        start(f"http://127.0.0.1:{free_port()}/")
    error = capsys.readouterr().err
    assert error.startswith("Cannot start: The weights of MobileNetV2 cannot be obtained: expected them at ")
    assert "(127.0.0.1: Connection refused)" in error
    assert error.count("\n") == 1
