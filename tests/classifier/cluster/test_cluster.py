"""Replicas die, hang, fail to load and are shared: accepted photos are answered, and everything else is an error."""

import os
import re
import subprocess
import sys
import threading
from contextlib import closing, nullcontext
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import yaml
from serving import ROOT, running
from support.compiled_folders import write_compiled_colours
from support.models import HeldModel, Steering, ToyModel
from support.pictures import picture
from support.ray_cluster import needs_ray, rays_warnings, replicas_of, started_cluster
from support.waiting import wait_until

from classifier.cluster import remote_engine
from classifier.cluster.remote_engine import SILENT_S, RemoteEngine, ReplicaLost
from classifier.cluster.replica import failure
from classifier.contract import Answer, Stages
from classifier.errors import NotDownloaded, StartupError, Unavailable
from classifier.models import compiled
from classifier.options import Limits
from classifier.serving.admission import MAX_EXPLANATIONS, Full, Throughput
from classifier.serving.engine import LocalEngine
from web.settings import Settings

pytestmark = [rays_warnings, pytest.mark.ray]

SOON = 60
ANSWER = Answer((), b"", 0.2, Stages(0.1, 0.0, 0.1, 1))


class Replicas:
    """A cluster in words: each reply is an answer, or an exception that is raised."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.count = 1
        self.asked = []

    def info(self):
        return ToyModel.info

    def running(self):
        return self.count

    def ask(self, method, *args):
        self.asked.append((method, *args))
        return Said(self.replies.pop(0) if self.replies else ANSWER)

    def close(self):
        pass


class Said:
    def __init__(self, reply):
        self.reply = reply

    def result(self, timeout_s):
        if isinstance(self.reply, threading.Event):
            assert self.reply.wait(SOON)
            return ANSWER
        if isinstance(self.reply, type) and issubclass(self.reply, BaseException):
            raise self.reply
        return self.reply


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(remote_engine, "PAUSE_S", 0.001)


def test_a_photo_whose_replica_dies_goes_to_another_with_the_time_that_is_left():
    replicas = Replicas(ReplicaLost, ReplicaLost)
    (answer,) = RemoteEngine(replicas, Limits(timeout_s=9)).classify([b"photo"])
    assert isinstance(answer, Answer)
    assert [asked[:3] for asked in replicas.asked] == [("classify", b"photo", 5)] * 3
    lefts = [asked[3] for asked in replicas.asked]
    assert 9 > lefts[0] > lefts[1] > lefts[2] > 8


def test_a_photo_that_kills_every_replica_is_given_up():
    replicas = Replicas(*[ReplicaLost] * 99)
    (error,) = RemoteEngine(replicas).classify([b"photo"])
    assert isinstance(error, Unavailable)
    assert len(replicas.asked) == remote_engine.TRIES


def test_no_time_is_left_for_another_try():
    (error,) = RemoteEngine(Replicas(ReplicaLost, TimeoutError), Limits(timeout_s=0.1)).classify([b"photo"])
    assert "no answer in time" in str(error)


def test_a_full_queue_refuses_what_is_new_and_keeps_what_was_taken():
    (refused,) = RemoteEngine(Replicas(Full)).classify([b"photo"])
    assert "More photos are waiting" in str(refused)
    (answer,) = RemoteEngine(Replicas(ReplicaLost, Full)).classify([b"photo"])
    assert isinstance(answer, Answer)


def test_without_a_replica_nothing_is_taken():
    replicas = Replicas()
    replicas.count = 0
    with pytest.raises(Unavailable, match="being restarted"), RemoteEngine(replicas).admit():
        pass


def test_what_cannot_be_answered_in_time_is_refused():
    for in_flight, is_refused in ((20, True), (5, False)):
        go_on, throughput = threading.Event(), Throughput()
        replicas = Replicas(*[go_on] * in_flight)
        engine = RemoteEngine(replicas, Limits(timeout_s=1), clock=lambda: 0.0, throughput=throughput)
        thread = threading.Thread(target=engine.classify, args=([b"photo"] * in_flight,))
        thread.start()
        wait_until(lambda replicas=replicas, count=in_flight: len(replicas.asked) == count, SOON)
        throughput.note(seconds=0.1, items=1)
        expected = pytest.raises(Unavailable, match="More photos") if is_refused else nullcontext()
        with expected, engine.admit():
            pass
        go_on.set()
        thread.join(SOON)


def test_explanations_are_bounded_here_as_well():
    go_on, reads = threading.Event(), threading.Semaphore(0)
    engine = RemoteEngine(Replicas(*[go_on] * MAX_EXPLANATIONS))
    threads = [
        threading.Thread(target=engine.explain, args=(lambda: reads.release() or b"photo", 0))
        for _ in range(MAX_EXPLANATIONS)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert reads.acquire(timeout=SOON)
    with pytest.raises(Unavailable, match="More explanations are waiting"):
        engine.explain(lambda: pytest.fail("It was read."), 0)
    go_on.set()
    for thread in threads:
        thread.join(SOON)


def test_a_process_that_lost_the_cluster_is_not_alive():
    now = 0.0
    engine = RemoteEngine(Replicas(), clock=lambda: now)
    assert engine.is_alive()
    now += SILENT_S
    assert not engine.is_alive()
    engine.classify([b"photo"])
    assert engine.is_alive()


def test_an_error_of_ours_is_found_in_what_serve_tells():
    told = 'Error:\nTraceback ...\n  File "x"\nclassifier.errors.NotDownloaded: The weights cannot be had: no network.'
    error = failure(told)
    assert (type(error), str(error)) == (NotDownloaded, "The weights cannot be had: no network.")
    for other in ("ValueError: what", "classifier.errors.BrokenImage: x", "classifier.errors.Nothing: x"):
        assert type(failure(other)) is StartupError


@pytest.mark.parametrize(("value", "expected"), [("2", (2, 2)), ("1-8", (1, 8)), ("", (1, 1))])
def test_how_many_replicas(value, expected):
    assert Settings.from_environ({"CLASSIFIER_REPLICAS": value}).replicas == expected


@pytest.mark.parametrize("value", ["0", "3-2", "-2", "many"])
def test_how_many_replicas_cannot_be(value):
    with pytest.raises(StartupError, match="from 1, such as 2, or from one to another, such as 1-8"):
        Settings.from_environ({"CLASSIFIER_REPLICAS": value})


WITHOUT_RAY = "import sys; sys.modules['ray'] = None; import {}"


def test_without_ray_the_site_says_in_one_sentence_what_to_install():
    environ = {**os.environ, "CLASSIFIER_ENGINE": "ray"}
    code = WITHOUT_RAY.format("wsgi")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("Cannot start: Ray is required but not installed; install it with: ")


@pytest.mark.parametrize(
    "module", ["app", "web.settings", "classifier.serving.engine", "classifier.cluster.remote_engine"]
)
def test_without_ray_everything_else_works(module):
    subprocess.run([sys.executable, "-c", WITHOUT_RAY.format(module)], cwd=ROOT, check=True)


def test_only_one_file_imports_ray():
    files = [*ROOT.glob("*.py"), *ROOT.glob("web/**/*.py"), *ROOT.glob("classifier/**/*.py")]
    importing = [path.name for path in files if re.search(r"^\s*(import|from) ray\b", path.read_text(), re.M)]
    assert importing == ["ray_serve.py"]


def documents(name):
    return list(yaml.safe_load_all((ROOT / "deploy" / name).read_text())) if needs_ray else []


@needs_ray
def test_serve_itself_accepts_its_configuration_and_our_builder_the_arguments():
    from ray.serve.schema import ServeDeploySchema

    from classifier.cluster import ray_serve

    (config,) = documents("ray-serve.yaml")
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert (application.name, application.import_path) == (ray_serve.APP, "classifier.cluster.ray_serve:app")
    deployment = ray_serve.app(application.args)._bound_deployment
    (given,) = application.deployments
    assert deployment.name == given.name
    for bound in ("max_ongoing_requests", "max_queued_requests"):
        assert getattr(deployment, bound) == getattr(given, bound)
    scaled = ray_serve.application(ToyModel, replicas=(2, 8))._bound_deployment._deployment_config.autoscaling_config
    assert given.autoscaling_config.items() <= scaled.model_dump().items()


@needs_ray
def test_its_arguments_are_settings_and_their_defaults():
    (config,) = documents("ray-serve.yaml")
    args = config["applications"][0]["args"]
    assert args.keys() <= Settings.model_fields.keys()
    assert args.items() <= Settings().model_dump().items()


@needs_ray
def test_kuberay_deploys_the_same():
    from ray.serve.schema import ServeDeploySchema

    service, site, _ = documents("kuberay.yaml")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    assert config["applications"] == documents("ray-serve.yaml")[0]["applications"]
    (container,) = site["spec"]["template"]["spec"]["containers"]
    environ = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert Settings.from_environ(environ).engine == "ray"
    assert environ["RAY_ADDRESS"] in container["command"][-1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two replicas."""
    from classifier.cluster.ray_serve import ServeReplicas

    started_cluster()
    load = partial(HeldModel, tmp_path_factory.mktemp("pair"))
    return ServeReplicas(load, Limits(max_megapixels=2), name="pair", replicas=(2, 2))


@needs_ray
def test_a_killed_replica_costs_no_accepted_photo_and_is_replaced(pair):
    engine = RemoteEngine(pair)
    photos, stop, outcomes = [picture(colour) for colour in ("red", "lime", "blue")], threading.Event(), []
    pause_s = 0.0

    def client(which):
        while not stop.wait(pause_s):
            (answer,) = engine.classify([photos[which]])
            outcomes.append((which, answer))

    threads = [threading.Thread(target=client, args=(i % 3,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(replicas_of("pair")) == 2 and len(outcomes) > 50, SOON)
    before = replicas_of("pair")
    os.kill(before[0], 9)
    pause_s = 0.05  # leaves the processor to the replica that starts
    wait_until(lambda: len(set(replicas_of("pair")) - {before[0]}) == 2 and pair.running() == 2, SOON)
    answered = len(outcomes)
    wait_until(lambda: len(outcomes) > answered + 50, SOON)
    stop.set()
    for thread in threads:
        thread.join(SOON)
    assert [answer for which, answer in outcomes if not isinstance(answer, Answer)] == []
    assert all(answer.predictions[0].index == which for which, answer in outcomes)


@needs_ray
def test_a_compiled_folder_answers_on_a_replica_as_it_does_here(tmp_path):
    from classifier.cluster.ray_serve import ServeReplicas, serve

    started_cluster()
    loads = partial(compiled.read, write_compiled_colours(tmp_path / "colours", has_map=True))
    photo, here = picture("lime"), LocalEngine(loads())
    there = RemoteEngine(ServeReplicas(loads, replicas=(1, 1), name="compiled"))
    (expected,), (answer,) = here.classify([photo]), there.classify([photo])
    assert there.model == here.model
    assert answer.predictions == expected.predictions
    np.testing.assert_array_equal(there.explain(lambda: photo, 1).heat, here.explain(lambda: photo, 1).heat)
    assert "/openvino/" in maps(replicas_of("compiled"))
    assert "libtensorflow" not in maps(replicas_of("compiled"))
    here.close()
    serve.delete("compiled")


def maps(processes):
    """Return which files these processes have mapped."""
    return "".join(Path(f"/proc/{pid}/maps").read_text() for pid in processes)


def not_there(sentence):
    raise NotDownloaded(sentence)


@needs_ray
def test_what_a_replica_says_when_it_cannot_load_is_told_as_it_is():
    from classifier.cluster.ray_serve import ServeReplicas, is_deployed, ray

    started_cluster()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.raises(NotDownloaded, match=r"^The weights of 'x' cannot be had: no network.$"):
        ServeReplicas(partial(not_there, "The weights of 'x' cannot be had: no network."), replicas=(1, 1), name="bad")
    assert not is_deployed("bad")


@needs_ray
def test_without_a_cluster_looking_for_replicas_starts_none():
    code = (
        "from classifier.cluster.ray_serve import ray, running_replicas; "
        "assert running_replicas('classifier') == 0; assert not ray.is_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=SOON)


@needs_ray
def test_an_address_that_cannot_be_joined_is_told():
    code = "from classifier.cluster.ray_serve import connect; connect(1)"
    environ = {**os.environ, "RAY_ADDRESS": "ray://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert "StartupError: RAY_ADDRESS must be a cluster that this machine has joined" in done.stderr


@needs_ray
def test_two_sites_share_the_replicas_and_leave_them_when_they_end(tmp_path):
    from classifier.cluster.ray_serve import APP, ServeReplicas, serve

    environ = {"CLASSIFIER_ENGINE": "ray", "RAY_ADDRESS": started_cluster(), "CLASSIFIER_KEEP_HOURS": "0"}
    (tmp_path / "batches").touch()
    replicas = ServeReplicas(partial(HeldModel, tmp_path), replicas=(1, 1))
    first = replicas_of(APP)
    try:
        with running(environ) as one, running({**environ, "CLASSIFIER_TOP": "1"}) as other:
            for site in (one, other):
                assert "blue jay (" in sent(site, picture("blue"))
                assert "tensorflow" not in Path(f"/proc/{site.worker}/maps").read_text()
            ending = ends_in_order(one, tmp_path)
            assert "red fox (" in sent(other, picture("red"))
        assert "Egyptian cat (" in ending
        assert replicas_of(APP) == first
        assert replicas.running() == 1
    finally:
        serve.delete(APP)


def sent(site, photo):
    form = ["-F", "fileImage=@-;filename=photo.png", site.url]
    return subprocess.run(
        ["curl", "-sS", *form], input=photo, capture_output=True, check=True, timeout=SOON
    ).stdout.decode()


def ends_in_order(site, folder):
    """Stop a site while it holds a photo; return its answer. Ray does not intercept the signal."""
    steering, answers = Steering(folder), []
    steering.hold()
    thread = threading.Thread(target=lambda: answers.append(sent(site, picture("lime"))))
    thread.start()
    wait_until(steering.batches, SOON)
    with closing(HTTPConnection(site.host, site.port, timeout=SOON)) as watcher:
        assert status(watcher) == 200  # and its connection is kept
        site.master.terminate()
        wait_until(lambda: status(watcher) == 503, SOON)
    steering.go_on()
    thread.join(SOON)
    site.master.wait(SOON)
    return answers[0]


def status(connection):
    """Return the status of /readyz: 503 once the site has been told to stop."""
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    response.read()
    return response.status
