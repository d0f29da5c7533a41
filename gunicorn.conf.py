"""How gunicorn serves the site: one process that owns the model, a few threads that wait, decode and render.

The model is built in the worker (no preload_app): TensorFlow does not survive a fork.
"""

import threading
from typing import Any

bind = "127.0.0.1:3000"
workers = 1
worker_class = "gthread"
threads = 8
timeout = 30  # seconds without a sign of life before a worker is replaced; not a limit of a request
graceful_timeout = 30
loglevel = "info"
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Give signs of life while the model loads: a first download takes longer than `timeout`."""
    worker.loaded = threading.Event()

    def notify_until_loaded() -> None:
        while not worker.loaded.wait(1):
            worker.notify()

    threading.Thread(target=notify_until_loaded, name="loading", daemon=True).start()


def post_worker_init(worker: Any) -> None:
    worker.loaded.set()
    worker.log.info("Ready: open http://%s in a browser.", worker.cfg.bind[0])
