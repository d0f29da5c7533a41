"""Several web processes under gunicorn: they share one model, lose it together, and get another."""

import os
import signal
from http.client import HTTPConnection
from pathlib import Path

import pytest
from serving import multipart, running
from support.pictures import picture
from support.waiting import wait_until

pytestmark = pytest.mark.tensorflow

SITE = {"WEB_CONCURRENCY": "2", "CLASSIFIER_MODEL": "efficientnet_lite0", "CLASSIFIER_WEIGHTS": "random"}


def family(pid):
    return [pid, *(member for child in read(pid, f"task/{pid}/children").split() for member in family(int(child)))]


def read(pid, file):
    """Return a file of /proc about a process, "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""


def model_servers(site):
    return [pid for pid in family(site.master.pid) if "classifier.model_server" in read(pid, "cmdline")]


def status(site):
    connection = HTTPConnection(site.host, site.port, timeout=60)
    try:
        connection.request("POST", "/", *multipart("fileImage", picture("lime")))
        return connection.getresponse().status
    except OSError:
        return None  # this web process was being replaced
    finally:
        connection.close()


def test_the_models_process_is_shared_replaced_and_ends_with_the_site(tmp_path):
    with running({**SITE, "CLASSIFIER_UPLOADS": str(tmp_path)}) as site:
        (server,) = model_servers(site)
        with_backend = {pid for pid in family(site.master.pid) if "libtensorflow" in read(pid, "maps")}
        assert with_backend == {server}
        assert status(site) == 200
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: status(site) == 200 and model_servers(site) not in ([], [server]), within_s=60)
        (successor,) = model_servers(site)
    wait_until(lambda: not read(successor, "cmdline"), within_s=30)
