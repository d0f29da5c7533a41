"""How gunicorn serves the site: one process that owns the model, many threads that mostly wait.

The model is built in the worker (no preload_app): TensorFlow does not survive a fork.
"""

import ctypes
import os
import resource
import stat
import sys
from contextlib import suppress

from web.ops.worker import child_exit, on_exit, on_starting, post_fork, post_worker_init  # noqa: F401 (gunicorn calls these)

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

# glibc keeps a pool of free memory for every few threads; two pools do for all of them (mallopt's M_ARENA_MAX).
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(-8, 2)
