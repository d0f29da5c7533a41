"""The memory of a process that serves a model: freed memory goes back to the system when there is little to do."""

import ctypes
import sys
import threading
import time
from functools import cache

EVERY_S = 5  # seconds between two looks at how busy the process is
IDLE_SHARE = 0.05  # of a core, on average; a process that is busier would only take its memory again at once
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
NEVER = 2**31 - 1


def keep_in_one_pool() -> None:
    """Let glibc serve all threads from one pool, in which freed memory stays until `give_back`.

    Otherwise each thread keeps a pool of its own, and large blocks are mapped and unmapped each time. Child processes
    that are forked inherit it. The memory of TensorFlow's batches is not in the pool: its allocator keeps it.
    """
    libc = glibc()
    if libc and hasattr(libc, "mallopt"):
        for option, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER)):
            libc.mallopt(option, value)


def start_giving_back() -> None:
    """Start the thread that returns freed memory whenever the process is nearly idle."""
    if glibc():
        threading.Thread(target=give_back_when_idle, name="memory", daemon=True).start()


def give_back_when_idle() -> None:
    while True:
        before = time.process_time()
        time.sleep(EVERY_S)
        if time.process_time() - before < IDLE_SHARE * EVERY_S:
            give_back()


def give_back() -> None:
    """Return freed memory to the system: large photos and batches leave hundreds of MB."""
    if libc := glibc():
        libc.malloc_trim(0)


def glibc() -> ctypes.CDLL | None:
    """Return the C library if it is one that returns memory on request."""
    libc = linux_libc()
    return libc if hasattr(libc, "malloc_trim") else None


@cache
def linux_libc() -> ctypes.CDLL | None:
    """Return the C library on Linux."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None
