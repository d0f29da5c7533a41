"""How gunicorn serves the site: one process with the model, many threads that mostly wait.

WEB_CONCURRENCY, or gunicorn's `-w`, starts several web processes; the model then has a process of its own. Either way
it is built after the fork (no preload_app), as TensorFlow does not survive one.
"""

import os
from math import ceil

from web.ops.worker import (  # noqa: F401 (gunicorn calls the hooks)
    child_exit,
    exits_if_it_cannot_start,
    max_connections,
    on_exit,
    on_reload,
    on_starting,
    post_fork,
    post_worker_init,
)
from web.settings import Settings

with exits_if_it_cannot_start():
    settings = Settings.parse_environ(os.environ)

bind = "127.0.0.1:3000"
worker_class = "gthread"
# A waiting photo holds a thread, and so do the photos of a batch; the others refuse what is too much, explain, and show
# pages. Threads are started as they are needed; decoding is bounded by the engine.
threads = settings.max_waiting + settings.max_batch + 32
worker_connections = min(max(1000, 2 * threads), max_connections())
timeout = 30  # seconds without a sign of life before a worker is replaced; does not limit a request
graceful_timeout = ceil(settings.timeout_s) + 5  # seconds: photos that were accepted are answered
loglevel = "info"
control_socket_disable = True
