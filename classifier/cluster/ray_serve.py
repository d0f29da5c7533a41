"""Replicas on Ray Serve: joins or starts a cluster, deploys the model there, asks it. The only file that imports Ray.

Importing it raises StartupError where Ray is not installed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from classifier.cluster.remote_engine import ReplicaLost
from classifier.cluster.replica import BATCHES_AT_HAND, RemoteModel, Replica, failure
from classifier.contract import ServedModel
from classifier.errors import StartupError
from classifier.models import load
from classifier.serving.admission import Full
from classifier.text import one_line

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a cluster starts in `connect`, not when one that ended is asked
if not os.environ.get("RAY_ADDRESS"):
    # With this, whose name is about other things, Ray listens on the loopback only. It is read when Ray is imported.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # not 15: people wait for these
try:
    import ray
    from ray import serve
    from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
except ImportError as exc:
    raise StartupError(
        "Ray is asked for and not installed; install it with: .venv/bin/pip install -c constraints.txt -e '.[ray]'"
    ) from exc

APP = "classifier"
MODEL = "model"  # the name of its one deployment
OBJECTS_MB = 512  # of shared memory for photos on their way, in a cluster of ours; beyond, they go to disk
START_S = 900  # with the download of weights
HEALTH_S = 2  # between two looks at a replica: so soon is one that died replaced
GONE = (RayActorError, ObjectLostError, NodeDiedError, DeploymentUnavailableError)


class ServeReplicas:
    """The replicas of the application `name`: those that are there, or else new ones, started with `options`."""

    def __init__(
        self, load: Callable[[], ServedModel], *, name: str = APP, replicas: tuple[int, int] = (1, 1), **options: Any
    ) -> None:
        self._name = name
        self._leave = connect(replicas[1])
        try:
            serve.start(proxy_location="Disabled")
            if not is_deployed(name):
                deploy(application(load, replicas=replicas, num_gpus=gpus_for(replicas[1]), **options), name)
            wait_until_running(name)
        except Exception as exc:
            self._leave()
            if isinstance(exc, StartupError):
                raise
            raise StartupError(f"The Ray cluster failed at the start: {one_line(exc)}.") from exc
        self._handle = serve.get_app_handle(name)

    def facts(self) -> RemoteModel:
        return cast(RemoteModel, self.ask("facts").result(START_S))

    def ask(self, method: str, *args: Any) -> "ServeReply":
        return ServeReply(getattr(self._handle, method).remote(*args))

    def running(self) -> int:
        return running_replicas(self._name)

    def close(self) -> None:
        """Leave a cluster that was there before, with its replicas, for others; end one of ours."""
        self._leave()


class ServeReply:
    """What a replica will say, with Ray's errors as ours."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def result(self, timeout_s: float) -> Any:
        try:
            return self._response.result(timeout_s=timeout_s)
        except TimeoutError:
            self._response.cancel()
            raise
        except BackPressureError as exc:
            raise Full from exc
        except GONE as exc:
            raise ReplicaLost(one_line(exc)) from exc


def connect(cpus: int) -> Callable[[], None]:
    """Join the cluster at RAY_ADDRESS, or start one for this process alone. Gives what undoes that.

    Raises StartupError.
    """
    if ray.is_initialized():
        return lambda: None
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    address = os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise StartupError("RAY_ADDRESS must be a cluster that this machine has joined as a node, not a ray:// client.")
    try:
        with same_sigterm():
            if address:
                ray.init(address, **quiet)
            else:
                cores = max(cpus, os.cpu_count() or 1)
                objects = OBJECTS_MB * 2**20
                ray.init("local", num_cpus=cores, object_store_memory=objects, include_dashboard=False, **quiet)
    except Exception as exc:
        where = f"joined at RAY_ADDRESS={address}" if address else "started on this machine"
        raise StartupError(f"A Ray cluster could not be {where}: {one_line(exc)}.") from exc
    return ray.shutdown


@contextmanager
def same_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM for itself; gunicorn needs it to let a worker answer what it has accepted."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def app(args: dict[str, Any]) -> serve.Application:
    """What deploy/ray-serve.yaml names; `args` are settings by their lower-case names."""
    of_model = {key: args[key] for key in ("weights", "labels", "precision") if key in args}
    options = {key: value for key, value in args.items() if key not in (*of_model, "model")}
    return application(partial(load, args["model"], **of_model), **options)


def application(
    load: Callable[[], ServedModel],
    *,
    replicas: tuple[int, int] = (1, 1),
    max_batch: int = 32,
    max_waiting: int = 256,
    timeout_s: float = 30,
    num_gpus: float = 0,
    **options: Any,
) -> serve.Application:
    """`few` to `many` replicas, each with its own model; with more than half a batch in hand, another is wanted."""
    few, many = replicas
    scale = {"min_replicas": few, "max_replicas": many, "target_ongoing_requests": max(1, max_batch // 2)}
    deployment = serve.deployment(
        name=MODEL,
        max_ongoing_requests=BATCHES_AT_HAND * max_batch,
        max_queued_requests=max_waiting,
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=timeout_s,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 1, "num_gpus": num_gpus},
        logging_config={"enable_access_log": False},
        **({"num_replicas": few} if few == many else {"autoscaling_config": scale}),
    )(Replica)
    return deployment.bind(load, max_batch=max_batch, max_waiting=max_waiting, timeout_s=timeout_s, **options)


def gpus_for(replicas: int) -> float:
    """The share of a GPU that each replica gets where there are some: a whole one, if there are enough."""
    gpus: float = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    return min(1.0, gpus / replicas)


def is_deployed(name: str) -> bool:
    app = serve.status().applications.get(name)
    return app is not None and app.status in ("DEPLOYING", "RUNNING", "UNHEALTHY")


def running_replicas(name: str) -> int:
    """Return how many replicas of an application run, 0 without a cluster."""
    # Without a cluster, at the end, Serve would start one of its own to ask.
    app = serve.status().applications.get(name) if ray.is_initialized() else None
    deployment = app.deployments.get(MODEL) if app else None
    states = deployment.replica_states.items() if deployment else ()
    return sum(count for state, count in states if state == "RUNNING")


def deploy(application: serve.Application, name: str) -> None:
    target = serve.RunTarget(application, name=name, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)


def wait_until_running(name: str) -> None:
    """Raises StartupError: what a replica raised when it loaded the model, or that it took too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        app = serve.status().applications.get(name)
        if app and app.status == "RUNNING":
            return
        if app and app.status == "DEPLOY_FAILED":
            message = app.deployments[MODEL].message if MODEL in app.deployments else app.message
            serve.delete(name)
            raise failure(message)
        time.sleep(0.2)
    raise StartupError(f"The replicas were not running after {START_S} s; `serve status` tells what they wait for.")
