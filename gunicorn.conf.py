"""How gunicorn serves the site: one process that owns the model, many threads that mostly wait.

The model is built in the worker (no preload_app): TensorFlow does not survive a fork.
"""

import ctypes
import logging
import os
import resource
import shutil
import stat
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any

from web.ops import logs

bind = "127.0.0.1:3000"
workers = 1
worker_class = "gthread"
# A waiting photo holds a thread, and refusing one more takes another: more than MAX_WAITING + MAX_BATCH.
# They are started as they are needed; decoding is bounded by the engine.
threads = 320
timeout = 30  # seconds without a sign of life before a worker is replaced; not a limit of a request
graceful_timeout = 35  # above CLASSIFIER_TIMEOUT_S: what was accepted is answered
loglevel = "info"
control_socket_disable = True

# gunicorn's worker dies when it cannot accept for want of a descriptor. A connection takes two, and other things some.
descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
descriptors = 16_384 if descriptors == resource.RLIM_INFINITY else min(descriptors, 16_384)
worker_connections = max(1, min(1000, (descriptors - 64) // 2))
with suppress(OSError, ValueError):  # ValueError: more were allowed already
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

# A log that nobody reads loses lines; the site does not wait for it.
with suppress(OSError):
    if stat.S_ISFIFO(os.fstat(2).st_mode):
        os.set_blocking(2, False)

METRICS = "PROMETHEUS_MULTIPROC_DIR"
IN_MEMORY = "/dev/shm"  # the figures' files are mapped: on a full disk, writing one would end the process

# glibc keeps a pool of free memory for every few threads; two pools do for all of them (mallopt's M_ARENA_MAX).
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(-8, 2)


def on_starting(server: Any) -> None:
    """Every worker process writes its figures to files, so that any of them can tell those of all."""
    for handler in logging.getLogger("gunicorn.error").handlers:
        handler.setFormatter(logs.formatter())
    server.metrics = None
    if METRICS not in os.environ:
        folder = IN_MEMORY if os.path.isdir(IN_MEMORY) else None
        server.metrics = os.environ[METRICS] = tempfile.mkdtemp(prefix="classifier-metrics-", dir=folder)


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # which looks at METRICS when it is imported

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    if server.metrics and not server.reexec_pid:  # after USR2 the new master goes on with it
        shutil.rmtree(server.metrics, ignore_errors=True)


def post_fork(server: Any, worker: Any) -> None:
    """Give signs of life while the model loads: a first download takes longer than `timeout`."""
    worker.loaded = threading.Event()

    def notify_until_loaded() -> None:
        while not worker.loaded.wait(1):
            worker.notify()

    threading.Thread(target=notify_until_loaded, name="loading", daemon=True).start()


def post_worker_init(worker: Any) -> None:
    worker.loaded.set()
    worker.wsgi.extensions["health"].is_draining = lambda: not worker.alive
    threading.Thread(target=replace_when_hung, args=(worker,), name="watchdog", daemon=True).start()
    address = str(worker.sockets[0])
    worker.log.info("Ready: open %s in a browser." if address.startswith("http") else "Ready on %s.", address)


def replace_when_hung(worker: Any) -> None:
    """End a process whose model does not come back; gunicorn starts another."""
    while worker.wsgi.extensions["engine"].is_alive():
        time.sleep(1)
    worker.log.critical("The model does not come back; this process is replaced.")
    os._exit(1)
