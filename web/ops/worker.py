"""What happens in gunicorn's master and worker: the figures' folder, signs of life while loading, the watchdog."""

import logging
import os
import shutil
import tempfile
import threading
import time
from typing import Any

from web.ops import logs

METRICS = "PROMETHEUS_MULTIPROC_DIR"
IN_MEMORY = "/dev/shm"  # the figures' files are mapped: on a full disk, writing one would end the process


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
