"""A model in another process of this machine: find its server, or start it, and call it.

The server answers at a Unix socket that is named after the model's options. The first process that finds none starts
it, and the server ends with its last client, so that it needs no supervisor.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Client, Connection
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np

from classifier.atomic import locked
from classifier.contract import ModelInfo, Resemblance
from classifier.errors import StartupError, Unavailable
from classifier.options import ModelOptions

STARTED_S = 60  # until the server listens; it loads the model after that
LOOK_AGAIN_S = 0.02
Server = subprocess.Popen[bytes]
LOST = "The model is being restarted; please try again shortly."


class RemoteModel:
    """A served model whose server is another process. Calls may come from any number of threads.

    `start` starts the server at the socket `path`; it is called if none answers there. Raises StartupError, as
    `models.load` does, if the model cannot be loaded.
    """

    def __init__(self, path: Path, start: Callable[[], Server]) -> None:
        self._path = path
        connection, self._server, (self.info, self.largest_run) = join(path, start)
        self._is_lost = False
        self._idle = LifoQueue[Connection]()
        self._idle.put(connection)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """As `ServedModel.__call__`. Raises Unavailable if the server has ended."""
        return np.asarray(self._ask("predict", images))

    def compare(self, images: np.ndarray) -> tuple[np.ndarray, list[Resemblance]]:
        """As `ServedModel.compare`. Raises Unavailable if the server has ended."""
        probabilities, resemblances = self._ask("compare", images)
        return probabilities, resemblances

    def explain(self, image: np.ndarray, index: int) -> np.ndarray:
        """As `ServedModel.explain`. Raises Unavailable if the server has ended."""
        return np.asarray(self._ask("explain", image, index))

    def is_lost(self) -> bool:
        """Return True once the server has ended: this process must be replaced, and its successor starts another."""
        return self._is_lost

    def close(self) -> None:
        """Leave the server."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _ask(self, method: str, *args: Any) -> Any:
        try:
            connection = self._connection()
            connection.send((method, args))
            is_good, reply = connection.recv()
        except (EOFError, OSError) as exc:
            self._is_lost = True
            raise Unavailable(LOST) from exc
        self._idle.put(connection)
        if is_good:
            return reply
        raise reply

    def _connection(self) -> Connection:
        """Return an idle connection, or another one. Raises OSError or EOFError if the server has ended."""
        try:
            return self._idle.get_nowait()
        except Empty:
            connection = dialled(self._path)
            greeting(connection)
            return connection


def shared_model(folder: Path, options: ModelOptions, timeout_s: float) -> RemoteModel:
    """Return the model that all processes share which have these options and this folder. Raises StartupError."""
    path = socket_path(folder, options)
    return RemoteModel(path, partial(start, path, options, timeout_s))


def socket_path(folder: Path, options: ModelOptions) -> Path:
    """Return where in `folder` the server of a model listens."""
    return folder / hashlib.sha256(options.model_dump_json().encode()).hexdigest()[:16]


def join(path: Path, start: Callable[[], Server]) -> tuple[Connection, Server | None, tuple[ModelInfo, int]]:
    """Return a connection, the server's process if it was started here, and its greeting. Raises StartupError."""
    connection, server = find_or_start(path, start)
    try:
        return connection, server, greeting(connection)
    except (EOFError, OSError) as exc:
        if server is None:  # the one that was found was about to end
            return join(path, start)
        raise StartupError("The model's process ended while it loaded the model; its log says why.") from exc


def find_or_start(path: Path, start: Callable[[], Server]) -> tuple[Connection, Server | None]:
    """Return a connection to the server at `path`, and its process if it had to be started. Raises StartupError."""
    with path.with_suffix(".lock").open("w") as lock, locked(lock):
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return dialled(path), None
        path.unlink(missing_ok=True)  # what a server leaves behind
        server = start()
        return first_connection(path, server), server


def start(path: Path, options: ModelOptions, timeout_s: float) -> Server:
    """Start the server of a model. It finds the packages where this process finds them."""
    arguments = [str(path), options.model_dump_json(), str(timeout_s)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-m", "classifier.model_server", *arguments], env=environment)


def first_connection(path: Path, server: Server) -> Connection:
    """Wait until a server that was just started listens. Raises StartupError."""
    until = time.monotonic() + STARTED_S
    while server.poll() is None and time.monotonic() < until:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return dialled(path)
        time.sleep(LOOK_AGAIN_S)
    server.kill()
    server.wait()
    raise StartupError("The model's process ended before it could answer; its log says why.")


def dialled(path: Path) -> Connection:
    """Return a connection to the server at `path`. Raises OSError."""
    return Client(str(path), "AF_UNIX")


def greeting(connection: Connection) -> tuple[ModelInfo, int]:
    """Wait for the model, and return its properties and `largest_run`. Raises StartupError, EOFError or OSError."""
    is_good, reply = connection.recv()
    if not is_good:
        raise reply
    info, largest_run = reply
    return info, largest_run
