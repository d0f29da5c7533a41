"""A refusal is sent after the body has been read, within bounds."""

import contextlib
import io
import socket
import threading

import pytest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import EnvironBuilder, run_wsgi_app

from web.middleware import DrainUploads


class Sender(io.RawIOBase):
    """A body that never ends and counts the bytes read."""

    taken = 0

    def readinto(self, buffer):
        self.taken += len(buffer)
        return len(buffer)


def refuse(environ, start_response):
    environ["wsgi.input"].read(10)
    start_response("413 Too Large", [])
    return [b"refused"]


def tolerant(environ, start_response):
    """An application that refuses even a body it could not read."""
    with contextlib.suppress(ClientDisconnected):
        environ["wsgi.input"].read(10)
    start_response("413 Too Large", [])
    return [b"refused"]


def send(app, body, **environ):
    environ = {**EnvironBuilder(method="POST").get_environ(), "wsgi.input": body, **environ}
    return b"".join(run_wsgi_app(app, environ)[0])


def test_the_rest_of_the_body_is_read_exactly_to_its_end():
    body = Sender()
    assert send(DrainUploads(refuse), body, CONTENT_LENGTH="5000000") == b"refused"
    assert body.taken == 5_000_000


@pytest.mark.parametrize("length", [{"CONTENT_LENGTH": str(10**12)}, {"wsgi.input_terminated": True}])
def test_an_endless_body_is_given_up(length):
    body = Sender()
    assert send(DrainUploads(refuse, max_bytes=3_000_000), body, **length) == b"refused"
    assert body.taken <= 3_000_000 + 10


@pytest.mark.parametrize("pace", ["stalls", "dribbles", "stalls before the refusal"])
def test_a_slow_sender_is_given_up(pace):
    ours, theirs = socket.socketpair()
    given_up = threading.Event()

    def dribble():
        with contextlib.suppress(OSError):
            while not given_up.wait(0.01):
                theirs.send(b"x")

    with ours, theirs, ours.makefile("rb") as body:
        theirs.send(b"x" if pace == "stalls before the refusal" else b"x" * 20)
        if pace == "dribbles":
            threading.Thread(target=dribble, daemon=True).start()
        app = DrainUploads(tolerant, max_s=0.2)
        assert send(app, body, CONTENT_LENGTH="5000000", **{"gunicorn.socket": ours}) == b"refused"
        given_up.set()
        ours.send(b"the answer")
        assert theirs.recv(100) == b"the answer"


def test_a_client_that_does_not_read_its_answer_is_given_up():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as body:
        theirs.send(b"x" * 10)
        app = DrainUploads(refuse, max_unread_s=0.1)
        assert send(app, body, CONTENT_LENGTH="10", **{"gunicorn.socket": ours}) == b"refused"
        with pytest.raises(TimeoutError):
            ours.sendall(bytes(10**7))


def test_a_body_that_the_server_cannot_read_is_a_bad_request(client):
    class InvalidChunkSize(Exception):
        pass

    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise InvalidChunkSize

    environ = EnvironBuilder(method="POST", content_type="multipart/form-data; boundary=x").get_environ()
    environ.update({"wsgi.input": Broken(), "wsgi.input_terminated": True})
    answer, status, headers = run_wsgi_app(client.application.wsgi_app, environ)
    assert status == "400 BAD REQUEST"
    assert b"cannot be understood" in b"".join(answer)
    assert "Content-Security-Policy" in headers


def test_a_sender_that_left_does_not_matter():
    assert send(DrainUploads(refuse), io.BytesIO(b"x" * 100), CONTENT_LENGTH="5000000") == b"refused"


def test_without_a_length_nothing_is_waited_for():
    body = Sender()
    assert send(DrainUploads(refuse), body) == b"refused"
    assert body.taken == 0
