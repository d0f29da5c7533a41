"""The process that owns a model and answers other processes at a Unix socket."""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Listener
from typing import Any

from classifier.contract import ServedModel
from classifier.errors import ClassifierError, StartupError

log = logging.getLogger(__name__)

LINGER_S = 5.0  # how long the model outlives its last client, which may be about to be replaced
FIRST_CLIENT_S = 60.0  # how much longer it waits for the first one
LOOK_AGAIN_S = 0.5

CALLS = {"predict": "__call__", "compare": "compare", "explain": "explain"}  # what clients may call
Reply = tuple[bool, Any]  # (True, result) or (False, the error to raise)


class ModelServer:
    """Answers the calls of its clients, each connection in a thread of its own.

    A client first receives (True, (info, largest_run)) when the model is ready, or (False, StartupError). After that,
    it sends the name and arguments of a call and receives (True, result) or (False, error), again and again.
    """

    def __init__(self, load: Callable[[], ServedModel], timeout_s: float, linger_s: float = LINGER_S) -> None:
        self._load = load
        self._timeout_s = timeout_s
        self._linger_s = linger_s
        self._changed = threading.Condition()
        self._clients = 0
        self._left_at = time.monotonic() + FIRST_CLIENT_S
        self._calls = 0
        self._progress_at = 0.0  # when a call last ended, or began while no other was running
        self._model: ServedModel | StartupError | None = None

    def run(self, listener: Listener) -> None:
        """Load the model and serve all who connect; return when the last of them has been gone for `linger_s`.

        Ends the process if the model does not return for `timeout_s`: its clients then start another.
        """
        for task in (self._make_ready, lambda: self._accept(listener)):
            threading.Thread(target=task, daemon=True).start()
        with self._changed:
            while not self._is_deserted():
                self._check_alive()
                self._changed.wait(LOOK_AGAIN_S)

    def leave_with_last_client(self) -> None:
        """Do not wait for further clients once the last one has left."""
        self._linger_s = 0.0

    def _is_deserted(self) -> bool:
        return not self._clients and time.monotonic() >= self._left_at + self._linger_s

    def _check_alive(self) -> None:
        if self._calls and time.monotonic() > self._progress_at + self._timeout_s:
            log.critical("The model no longer responds; its process ends.")
            os._exit(1)

    def _make_ready(self) -> None:
        model = self._loaded()
        with self._changed:
            self._model = model
            self._changed.notify_all()

    def _loaded(self) -> ServedModel | StartupError:
        try:
            return self._load()
        except StartupError as error:
            return error
        except Exception as exc:
            log.error("The model cannot be loaded.", exc_info=exc)
            return StartupError(f"The model cannot be loaded: {exc!r}.")

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError as exc:
                if exc.errno not in (errno.EMFILE, errno.ENFILE):
                    return  # the listener is closed
                time.sleep(LOOK_AGAIN_S)
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with self._client(), connection, suppress(EOFError, OSError):
            model = self._ready_model()
            if isinstance(model, StartupError):
                connection.send((False, model))
                return
            connection.send((True, (model.info, model.largest_run)))
            while True:
                method, args = connection.recv()
                connection.send(self._reply(model, method, args))

    @contextmanager
    def _client(self) -> Iterator[None]:
        with self._changed:
            self._clients += 1
        try:
            yield
        finally:
            with self._changed:
                self._clients -= 1
                self._left_at = time.monotonic()

    def _ready_model(self) -> ServedModel | StartupError:
        with self._changed:
            self._changed.wait_for(lambda: self._model is not None)
            assert self._model is not None
            return self._model

    def _reply(self, model: ServedModel, method: str, args: tuple[Any, ...]) -> Reply:
        with self._call():
            try:
                return True, getattr(model, CALLS[method])(*args)
            except ClassifierError as error:
                return False, error
            except Exception as exc:
                log.error("The model failed.", exc_info=exc)
                return False, RuntimeError(repr(exc))  # `exc` itself may not be importable there

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._changed:
            self._progress_at = self._progress_at if self._calls else time.monotonic()
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._progress_at = time.monotonic()
