"""How gunicorn serves the site: one process that owns the model, many threads that mostly wait.

The model is built in the worker (no preload_app): TensorFlow does not survive a fork.
"""

import ctypes
import os
import sys
import threading
import time
from typing import Any

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

# glibc keeps a pool of free memory for every few threads; two pools do for all of them (mallopt's M_ARENA_MAX).
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(-8, 2)


def post_fork(server: Any, worker: Any) -> None:
    """Give signs of life while the model loads: a first download takes longer than `timeout`."""
    worker.loaded = threading.Event()

    def notify_until_loaded() -> None:
        while not worker.loaded.wait(1):
            worker.notify()

    threading.Thread(target=notify_until_loaded, name="loading", daemon=True).start()


def post_worker_init(worker: Any) -> None:
    worker.loaded.set()
    # The model's thread has to get its turn among those that decode and render: 1-3 % more photos from 8 clients.
    sys.setswitchinterval(0.0005)
    threading.Thread(target=replace_when_hung, args=(worker,), name="watchdog", daemon=True).start()
    worker.log.info("Ready: open http://%s in a browser.", worker.cfg.bind[0])


def replace_when_hung(worker: Any) -> None:
    """End a process whose model does not come back; gunicorn starts another."""
    while worker.wsgi.extensions["engine"].is_alive():
        time.sleep(1)
    worker.log.critical("The model does not come back; this process is replaced.")
    os._exit(1)
