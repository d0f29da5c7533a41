"""One model for several processes: the same answers, one server, and no server without a client."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Listener

import numpy as np
import pytest

from classifier.contract import Label, ModelInfo, Resemblance, SimilarPhoto
from classifier.errors import NotExplainable, StartupError, Unavailable
from classifier.model_server.client import RemoteModel, find_or_start, socket_path, start
from classifier.model_server.server import ModelServer
from classifier.options import ModelOptions
from classifier.terms import Term, Terms
from web.settings import ROOT

SHADES = Terms((Term("", "shade", (0, 1)),))
INFO = ModelInfo(
    "mean", [Label("", "dark"), Label("", "light")], (2, 3), "crop", "CPU", "float32", False, 0.0, terms=SHADES
)
BREAKS = 13  # a grey at which the model below breaks


class Mean:
    """Says how light an image is."""

    info = INFO
    largest_run = 4

    def __call__(self, images):
        if images.ndim == 4 and (images == BREAKS).all():
            raise ArithmeticError("broken")
        light = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)

    def explain(self, image, index):
        if index > 1:
            raise NotExplainable("There is no such class.")
        return image.mean(axis=2).astype(np.float32) / 255


@pytest.fixture
def path(tmp_path):
    return tmp_path / "socket"


@pytest.fixture
def served(path):
    """Serve a model, or what loading it raises, in a thread; returns the thread, which ends with the last client."""

    def serve(load=Mean):
        listener = Listener(str(path), "AF_UNIX", backlog=16)
        server = ModelServer(load, timeout_s=60, linger_s=60)
        thread = threading.Thread(target=server.run, args=(listener,), daemon=True)
        thread.start()
        thread.leave = server.leave_with_last_client
        listeners.append(listener)
        return thread

    listeners = []
    yield serve
    for listener in listeners:
        listener.close()


def not_to_be_called():
    raise AssertionError("A second server would be started.")


@pytest.fixture
def remote(path, served):
    served()
    model = RemoteModel(path, not_to_be_called)
    yield model
    model.close()


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 3, 3), dtype=np.uint8)


def test_it_answers_as_the_model_does(remote):
    assert (remote.info, remote.largest_run) == (INFO, 4)
    np.testing.assert_array_equal(remote(images(5)), Mean()(images(5)))
    np.testing.assert_array_equal(remote.explain(images(1)[0], 1), Mean().explain(images(1)[0], 1))


def test_it_compares_as_the_model_does(path, served):
    class Comparing(Mean):
        def compare(self, images):
            return self(images), [Resemblance(0.25, (SimilarPhoto("dark", 0.5, ""),)) for _ in images]

    served(Comparing)
    model = RemoteModel(path, not_to_be_called)
    probabilities, resemblances = model.compare(images(5))
    np.testing.assert_array_equal(probabilities, Mean()(images(5)))
    assert resemblances == Comparing().compare(images(5))[1]
    model.close()


def test_a_compiled_folder_is_shared_like_any_model(path, served, tmp_path):
    from support.compiled_folders import SIDE, expected_colours, write_compiled_colours  # not where TOY imports this

    from classifier.models import compiled

    folder = write_compiled_colours(tmp_path / "colours", has_map=True)
    served(partial(compiled.read, folder))
    shared, own = RemoteModel(path, not_to_be_called), compiled.read(folder)
    pictures = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    assert (shared.info, shared.largest_run) == (own.info, own.largest_run)
    np.testing.assert_allclose(shared(pictures), expected_colours(pictures), atol=1e-5)
    heat = shared.explain(pictures[0], 1)
    assert heat.max() == 1
    np.testing.assert_array_equal(heat, own.explain(pictures[0], 1))
    shared.close()


def test_each_of_many_threads_gets_its_own_answer(remote):
    def answers(seed):
        return all(np.array_equal(remote(images(3, seed)), Mean()(images(3, seed))) for _ in range(20))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(answers, range(8)))


def test_errors_arrive_and_the_next_call_works(remote):
    with pytest.raises(NotExplainable, match=r"There is no such class\."):
        remote.explain(images(1)[0], 2)
    with pytest.raises(RuntimeError, match="broken"):
        remote(np.full((1, 2, 3, 3), BREAKS, np.uint8))
    assert remote(images(1)).shape == (1, 2)


def test_a_model_that_cannot_be_loaded_is_the_clients_error(path, served):
    def load():
        raise StartupError("No such weights.")

    served(load)
    with pytest.raises(StartupError, match=r"No such weights\."):
        RemoteModel(path, not_to_be_called)


def test_any_other_error_while_loading_is_one_sentence(path, served):
    def load():
        raise MemoryError("everything")

    served(load)
    with pytest.raises(StartupError, match=r"The model cannot be loaded: MemoryError\('everything'\)\."):
        RemoteModel(path, not_to_be_called)


def test_a_server_stays_for_its_clients_and_ends_with_the_last(path, served):
    server = served()
    first, second = RemoteModel(path, not_to_be_called), RemoteModel(path, not_to_be_called)
    server.leave()
    first.close()
    np.testing.assert_array_equal(second(images(2)), Mean()(images(2)))
    second.close()
    server.join(30)
    assert not server.is_alive()


TOY = """
import os, signal, sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from multiprocessing.connection import Listener
from test_model_server import Mean
from classifier.model_server.server import ModelServer

class Hangs(Mean):
    def __call__(self, images):
        time.sleep(3600)

print("started", flush=True)
ModelServer({model}, timeout_s={timeout_s}, linger_s={linger_s}).run(Listener(sys.argv[1], "AF_UNIX", backlog=16))
os._exit(0)
"""


@pytest.fixture
def starter(path):
    """Return a function that returns how to start a server in a process, and the processes that were started."""
    started = []

    def how(model="Mean", timeout_s=60, linger_s=60):
        code = TOY.format(
            root=str(ROOT), tests=str(__file__.rpartition("/")[0]), model=model, timeout_s=timeout_s, linger_s=linger_s
        )

        def launch():
            started.append(subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL))
            return started[-1]

        return launch

    how.started = started
    yield how
    for process in started:
        process.kill()
        process.wait()


def test_clients_that_come_together_start_one_server(path, starter):
    launch = starter()
    with ThreadPoolExecutor(6) as threads:
        models = list(threads.map(lambda _: RemoteModel(path, launch), range(6)))
    assert len(starter.started) == 1
    for model in models:
        np.testing.assert_array_equal(model(images(2)), Mean()(images(2)))
        model.close()


def test_a_process_ends_when_nobody_is_left(path, starter):
    RemoteModel(path, starter(linger_s=0)).close()
    assert starter.started[0].wait(60) == 0


def test_calls_to_a_killed_server_are_refused_and_the_next_client_starts_another(path, starter):
    model = RemoteModel(path, starter())
    assert not model.is_lost()
    starter.started[0].kill()
    starter.started[0].wait()
    with pytest.raises(Unavailable, match=r"The model is being restarted; please try again shortly\."):
        model(images(1))
    assert model.is_lost()
    again = RemoteModel(path, starter())
    np.testing.assert_array_equal(again(images(1)), Mean()(images(1)))
    assert len(starter.started) == 2
    again.close()


def test_a_server_whose_model_hangs_ends(path, starter):
    model = RemoteModel(path, starter(model="Hangs", timeout_s=0.2))
    with pytest.raises(Unavailable):
        model(images(1))
    assert starter.started[0].wait(60) == 1


def test_a_process_that_cannot_start_is_an_error(path):
    with pytest.raises(StartupError, match="process ended before it could answer"):
        find_or_start(path, lambda: subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]))


def test_another_server_for_other_options(tmp_path):
    paths = {socket_path(tmp_path, ModelOptions(model=name)) for name in ("vgg16", "mobilenet_v2", "vgg16")}
    assert len(paths) == 2


@pytest.mark.tensorflow
def test_the_real_process_loads_by_the_options(path):
    servers = []

    def started():
        servers.append(start(path, ModelOptions(model="nonesuch", weights="random"), 60))
        return servers[-1]

    with pytest.raises(StartupError, match="nonesuch"):
        RemoteModel(path, started)
    servers[0].terminate()  # without waiting for a next client
    assert servers[0].wait(60) == 0
