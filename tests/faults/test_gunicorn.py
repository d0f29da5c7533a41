"""Gunicorn with a toy model under poisoned photos, disconnects and signals: healthy photos are answered correctly."""

import random
import signal
import socket
import subprocess
import threading
import time
from http.client import HTTPConnection, HTTPException
from itertools import count

import pytest
from serving import multipart, run_together, running
from support.environ import PYTHONPATH
from support.models import COLOURS
from support.pictures import picture

PHOTOS = {colour: picture(colour) for colour in (*COLOURS, "black", "white")}


@pytest.fixture
def site():
    with running(PYTHONPATH, app="support.toy_site:app") as site:
        yield site


def ask(site, colour):
    """Send a photo; return the status and the page, or None if the connection broke."""
    connection = HTTPConnection(site.host, site.port, timeout=30)
    try:
        connection.request("POST", "/", *multipart("fileImage", PHOTOS[colour]))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def disconnect(site):
    """Announce a large upload, send a little of it and disconnect."""
    with socket.create_connection((site.host, site.port)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 99999\r\n\r\n--x\r\nContent"
        )


def hammer(site, requests, signals=()):
    """16 clients send `requests` photos, some poisoned, some broken off; gives what was sent and what came back.

    `signals` maps the number of a request to what is done just before it.
    """
    numbers, outcomes, lock = count(), [], threading.Lock()

    def client(seed):
        chance = random.Random(seed)
        while (number := next(numbers)) < requests:
            dict(signals).get(number, int)()
            fate = chance.random()
            if fate < 0.1:
                disconnect(site)
                continue
            colour = "white" if fate < 0.2 else chance.choice(list(COLOURS))
            outcome = ask(site, colour)
            with lock:
                outcomes.append((colour, outcome))

    run_together((threading.Thread(target=client, args=(seed,)) for seed in range(16)), timeout_s=120)
    return outcomes


def is_right(colour, outcome):
    status, page = outcome
    if colour == "white":
        return status == 503 and "The model failed on this photo" in page
    return status == 200 and COLOURS[colour].replace("_", " ") + " (" in page


def test_500_requests_with_poison_disconnects_and_a_reload(site):
    reload = {250: lambda: site.master.send_signal(signal.SIGHUP)}
    outcomes = hammer(site, 500, reload)
    assert len(outcomes) > 400
    lost = [outcome for outcome in outcomes if outcome[1] is None]
    wrong = [outcome for outcome in outcomes if outcome[1] is not None and not is_right(*outcome)]
    assert wrong == []
    assert lost == []  # the old process answers what it accepted, the new one the rest


def test_a_killed_worker_costs_only_what_it_held(site):
    kill = {100: lambda: subprocess.run(["kill", "-9", str(site.worker)], check=True)}
    outcomes = hammer(site, 300, kill)
    answered = [outcome for outcome in outcomes if outcome[1] is not None]
    assert all(is_right(*outcome) for outcome in answered)
    assert len(outcomes) - len(answered) <= 16  # one per client at most was in its hands
    assert is_right("lime", ask(site, "lime"))


def test_a_process_whose_model_hangs_is_replaced(site):
    assert is_right("lime", ask(site, "lime"))
    hung = site.worker
    status, page = ask(site, "black")
    assert status == 503
    assert "no answer in time" in page
    deadline = time.monotonic() + 30
    while (answer := ask(site, "lime")) is None or answer[0] != 200:
        assert time.monotonic() < deadline
    assert is_right("lime", answer)
    assert site.worker != hung
