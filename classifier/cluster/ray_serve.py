"""Replicas on Ray Serve: join or start a cluster, deploy the model there, call it. The only file that imports Ray.

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
from classifier.cluster.replica import BATCHES_AT_HAND, Replica, failure
from classifier.contract import ModelInfo, ServedModel
from classifier.errors import StartupError
from classifier.models import load
from classifier.options import Limits, ModelOptions, build
from classifier.serving.admission import Full
from classifier.text import one_line

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a cluster starts in `connect`, not by calling one that ended
if not os.environ.get("RAY_ADDRESS"):
    # Despite its name, this makes Ray listen on the loopback interface only. Ray reads it when imported.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # not 15: people are waiting for these
try:
    import ray
    from ray import serve
    from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
except ImportError as exc:
    raise StartupError(
        "Ray is required but not installed; install it with: .venv/bin/pip install -c constraints.txt -e '.[ray]'"
    ) from exc

APP = "classifier"
MODEL = "model"  # the name of its one deployment
OBJECTS_MB = 512  # of shared memory for photos on their way, in a cluster started here; beyond that, they spill to disk
START_S = 900  # with the download of weights
HEALTH_S = 2  # between two health checks of a replica: how soon a dead one is replaced
GONE = (RayActorError, ObjectLostError, NodeDiedError, DeploymentUnavailableError)


class ServeReplicas:
    """The replicas of the application `name`: those that run already, otherwise new ones."""

    def __init__(
        self,
        load: Callable[[], ServedModel],
        limits: Limits = Limits(),
        *,
        replicas: tuple[int, int],
        name: str = APP,
    ) -> None:
        self._name = name
        self._leave = connect(replicas[1])
        try:
            serve.start(proxy_location="Disabled")
            if not is_deployed(name):
                deploy(application(load, limits, replicas=replicas, num_gpus=gpus_for(replicas[1])), name)
            wait_until_running(name)
        except Exception as exc:
            self._leave()
            if isinstance(exc, StartupError):
                raise
            raise StartupError(f"The Ray cluster failed at the start: {one_line(exc)}.") from exc
        self._handle = serve.get_app_handle(name)

    def info(self) -> ModelInfo:
        return cast(ModelInfo, self.ask("info").result(START_S))

    def ask(self, method: str, *args: Any) -> "ServeReply":
        return ServeReply(getattr(self._handle, method).remote(*args))

    def running(self) -> int:
        return running_replicas(self._name)

    def close(self) -> None:
        """Leave a cluster that was there before, with its replicas; end one that was started here."""
        self._leave()


class ServeReply:
    """A replica's pending reply, with Ray's errors turned into those that `remote_engine` knows."""

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
    """Join the cluster at RAY_ADDRESS, or start one for this process alone; returns the function that undoes it.

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
    """Keep the handler of SIGTERM, which Ray replaces; gunicorn needs it for a graceful shutdown."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def app(args: dict[str, Any]) -> serve.Application:
    """Return what deploy/ray-serve.yaml names; `args` are settings by their lower-case names. Raises StartupError."""
    of_model = {key: value for key, value in args.items() if key in ModelOptions.model_fields}
    others = {key: value for key, value in args.items() if key not in of_model}
    one_until_scaled = (1, 1)  # by `deployments` in the same file
    loads = partial(load, build(ModelOptions, of_model))
    return application(loads, build(Limits, others), replicas=one_until_scaled)


def application(
    load: Callable[[], ServedModel],
    limits: Limits = Limits(),
    *,
    replicas: tuple[int, int],
    num_gpus: float = 0,
) -> serve.Application:
    """Deploy between `replicas[0]` and `replicas[1]` replicas, each with its own model, as the load requires.

    Another one starts when those that run have more than half a batch each.
    """
    few, many = replicas
    scale = {"min_replicas": few, "max_replicas": many, "target_ongoing_requests": max(1, limits.max_batch // 2)}
    deployment = serve.deployment(
        name=MODEL,
        max_ongoing_requests=BATCHES_AT_HAND * limits.max_batch,
        max_queued_requests=limits.max_waiting,
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=limits.timeout_s,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 1, "num_gpus": num_gpus},
        logging_config={"enable_access_log": False},
        **({"num_replicas": few} if few == many else {"autoscaling_config": scale}),
    )(Replica)
    return deployment.bind(load, limits)


def gpus_for(replicas: int) -> float:
    """Return the share of a GPU for each replica: a whole one if there are enough, 0 if there are none."""
    gpus: float = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    return min(1.0, gpus / replicas)


def is_deployed(name: str) -> bool:
    app = serve.status().applications.get(name)
    return app is not None and app.status in ("DEPLOYING", "RUNNING", "UNHEALTHY")


def running_replicas(name: str) -> int:
    """Return how many replicas of an application run, 0 without a cluster."""
    # Without a cluster, as at the end, Serve would start one of its own to ask.
    app = serve.status().applications.get(name) if ray.is_initialized() else None
    deployment = app.deployments.get(MODEL) if app else None
    states = deployment.replica_states.items() if deployment else ()
    return sum(count for state, count in states if state == "RUNNING")


def deploy(application: serve.Application, name: str) -> None:
    target = serve.RunTarget(application, name=name, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)


def wait_until_running(name: str) -> None:
    """Wait for the application. Raises the StartupError of a replica that failed to load, or one after START_S."""
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
    raise StartupError(f"The replicas were not running after {START_S} s; `serve status` shows what they wait for.")
