"""A refusal is sent after the body was read, within bounds."""

import io

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from drain import Drain


class Sender(io.RawIOBase):
    """A body that never ends by itself and counts what was read."""

    taken = 0

    def readinto(self, buffer):
        self.taken += len(buffer)
        return len(buffer)


def refuse(environ, start_response):
    environ["wsgi.input"].read(10)
    start_response("413 Too Large", [])
    return [b"refused"]


def send(app, body, **environ):
    environ = {**EnvironBuilder(method="POST").get_environ(), "wsgi.input": body, **environ}
    return b"".join(run_wsgi_app(app, environ)[0])


def test_the_rest_of_the_body_is_read_exactly_to_its_end():
    body = Sender()
    assert send(Drain(refuse), body, CONTENT_LENGTH="5000000") == b"refused"
    assert body.taken == 5_000_000


@pytest.mark.parametrize("length", [{"CONTENT_LENGTH": str(10**12)}, {"wsgi.input_terminated": True}])
def test_an_endless_body_is_given_up(length):
    body = Sender()
    assert send(Drain(refuse, max_bytes=3_000_000), body, **length) == b"refused"
    assert body.taken <= 3_000_000 + 10


def test_a_slow_sender_is_given_up():
    body = Sender()
    assert send(Drain(refuse, max_s=0), body, CONTENT_LENGTH="5000000") == b"refused"
    assert body.taken == 10


def test_a_sender_that_left_does_not_matter():
    assert send(Drain(refuse), io.BytesIO(b"x" * 100), CONTENT_LENGTH="5000000") == b"refused"


def test_without_a_length_nothing_is_waited_for():
    body = Sender()
    assert send(Drain(refuse), body) == b"refused"
    assert body.taken == 0
