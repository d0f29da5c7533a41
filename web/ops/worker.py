"""Gunicorn's hooks and the limits of its processes: metrics folder, signs of life while loading, watchdog."""

import logging
import os
import resource
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from classifier import logs, memory
from classifier.contract import Engine
from classifier.errors import StartupError

CANNOT_START = 4  # gunicorn's APP_LOAD_ERROR: its master stops as well, instead of trying again and again
ONE_CANNOT_START = "cannot-start"  # a file beside the model servers
MAX_DESCRIPTORS = 16_384
METRICS = "PROMETHEUS_MULTIPROC_DIR"
MODEL_SERVERS = "MODEL_SERVERS_DIR"  # where web processes find the model that they share
IN_MEMORY = "/dev/shm"  # the metrics' files are mapped: on a full disk, writing one would end the process


@contextmanager
def exits_if_it_cannot_start() -> Iterator[None]:
    """Print a StartupError as one line and exit with CANNOT_START, unless another web process already does."""
    try:
        yield
    except StartupError as error:
        if not is_first_to_fail():
            sys.exit()
        print(f"Cannot start: {error}", file=sys.stderr, flush=True)
        sys.exit(CANNOT_START)


def is_first_to_fail() -> bool:
    """Return True once for the web processes that share a model: gunicorn's master breaks if two stop it at once."""
    if MODEL_SERVERS in os.environ:
        try:
            Path(os.environ[MODEL_SERVERS], ONE_CANNOT_START).touch(exist_ok=False)
        except FileExistsError:
            return False
    return True


def max_descriptors() -> int:
    """Return how many files and connections a process may have open, if it asks for all of them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else min(limit, MAX_DESCRIPTORS)


def max_connections() -> int:
    """Return how many connections a worker can hold; without a descriptor for the next one, gunicorn's worker dies.

    A connection takes two descriptors, and everything else some.
    """
    return max(1, (max_descriptors() - 64) // 2)


def on_starting(server: Any) -> None:
    """Prepare the master, from which the workers inherit."""
    raise_descriptor_limit()
    drop_log_lines_that_nobody_reads()
    memory.keep_in_one_pool()
    for handler in logging.getLogger("gunicorn.error").handlers:
        handler.setFormatter(logs.formatter())
    server.metrics = make_metrics_folder()
    server.model_servers = [make_model_servers_folder()] if server.cfg.workers > 1 else []


def on_reload(server: Any) -> None:
    """Let the new web processes load the model again; the old ones keep theirs until they leave."""
    if server.model_servers:
        server.model_servers.append(make_model_servers_folder())


def raise_descriptor_limit() -> None:
    with suppress(OSError, ValueError):  # ValueError: more are allowed already
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max_descriptors(), hard))


def drop_log_lines_that_nobody_reads() -> None:
    """Make a log that is a pipe lose lines once it is full, so that the site does not wait for its reader."""
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(2).st_mode):
            os.set_blocking(2, False)


def make_metrics_folder() -> str | None:
    """Create the folder through which every worker process can report the metrics of all; None if one is configured."""
    if METRICS in os.environ:
        return None
    folder = IN_MEMORY if os.path.isdir(IN_MEMORY) else None
    os.environ[METRICS] = tempfile.mkdtemp(prefix="classifier-metrics-", dir=folder)
    return os.environ[METRICS]


def make_model_servers_folder() -> str:
    """Create the folder for the sockets of model servers, which only this user may call."""
    os.environ[MODEL_SERVERS] = tempfile.mkdtemp(prefix="classifier-model-")
    return os.environ[MODEL_SERVERS]


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # which reads METRICS when it is imported

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    if server.metrics and not server.reexec_pid:  # after USR2 the new master continues with it
        shutil.rmtree(server.metrics, ignore_errors=True)
    for folder in server.model_servers:
        shutil.rmtree(folder, ignore_errors=True)


def post_fork(server: Any, worker: Any) -> None:
    """Give signs of life while the model loads: a first download takes longer than `timeout`."""
    worker.loaded = threading.Event()

    def notify_until_loaded() -> None:
        while not worker.loaded.wait(1):
            worker.notify()

    threading.Thread(target=notify_until_loaded, name="loading", daemon=True).start()


def post_worker_init(worker: Any) -> None:
    worker.loaded.set()
    site = worker.wsgi.extensions  # `create_app` leaves here what the server needs of the site
    site["health"].is_draining = lambda: not worker.alive
    threading.Thread(target=replace_when_hung, args=(worker, site["engine"]), name="watchdog", daemon=True).start()
    memory.start_giving_back()
    address = str(worker.sockets[0])
    worker.log.info("Ready: open %s in a browser." if address.startswith("http") else "Ready on %s.", address)


def replace_when_hung(worker: Any, engine: Engine) -> None:
    """End a process whose model no longer responds; gunicorn starts another."""
    while engine.is_alive():
        time.sleep(1)
    worker.log.critical("The model no longer responds; this process is replaced.")
    os._exit(1)
