"""The model server's process: `python -m classifier.model_server PATH OPTIONS TIMEOUT_S`, as `client.py` starts it."""

import os
import signal
import sys
from functools import partial
from multiprocessing.connection import Listener

from classifier import logs, memory
from classifier.model_server.server import ModelServer
from classifier.models import load
from classifier.models.downloads import refuse
from classifier.options import ModelOptions


def main(path: str, options: str, timeout_s: str) -> None:
    """Load a model and answer at the Unix socket `path` until the last client has left."""
    logs.configure()
    memory.keep_in_one_pool()
    memory.start_giving_back()
    loads = partial(load, ModelOptions.model_validate_json(options), fetch=refuse)  # its clients download, and say so
    server = ModelServer(loads, float(timeout_s))
    for number in (signal.SIGINT, signal.SIGTERM):  # which may reach all processes of a site that is stopped
        signal.signal(number, lambda *_: server.leave_with_last_client())
    server.run(Listener(path, "AF_UNIX", backlog=128))
    os._exit(0)  # the socket stays: by now there may be another server's in its place


if __name__ == "__main__":
    main(*sys.argv[1:])
