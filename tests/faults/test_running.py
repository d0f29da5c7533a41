"""Faults around a running site: its reaction, and its recovery. docs/operations.md has the table."""

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from proxied import NGINX, Gunicorn, nginx
from serving import ROOT, children, multipart, run_together
from support.environ import PYTHONPATH
from support.models import ToyModel
from support.pictures import picture
from support.sites import post
from support.waiting import wait_until

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults

TOY = "support.toy_deployed:app"
JSON = {"Accept": "application/json"}
NOT_KEPT = "could not be kept"
SOON = 20  # seconds; only a broken site ever takes so long


def permitted(*flags):
    """Return whether namespaces are permitted here; mounts in one are invisible outside and end with it."""
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([unshare, *flags, "true"], capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not permitted("--mount"), reason="no mounts in a namespace permitted here (root)")


def mounted(folder, options):
    """Return a command prefix that runs another command with its own small disk at `folder`, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    return ["unshare", "--mount", "bash", "-c", f'mount -t tmpfs -o {options} tmpfs {folder} && exec "$@"', "bash"]


class Site(Gunicorn):
    """The toy site on its socket, without a proxy."""

    def ask(self, method="GET", path="/", body=None, headers=None):
        with closing(self.connection()) as connection:
            return exchange(connection, method, path, body, headers)

    def classify(self, colour="lime"):
        """Return the status and the JSON of the response to a photo."""
        body, headers = multipart("fileImage", picture(colour))
        status, text = self.ask("POST", "/", body, {**headers, **JSON})
        return status, json.loads(text)

    def is_right(self):
        status, document = self.classify("lime")
        return status == 200 and document["results"][0]["predictions"][0]["label"] == "Egyptian_cat"

    def connection(self):
        connection = HTTPConnection("localhost", timeout=60)
        connection.sock = connected(self.path)
        return connection

    @property
    def worker(self):
        """The process that holds the model; 0 while it is being replaced."""
        return next(iter(children(self.master.pid)), 0)

    def inside(self, path):
        """Return a path as the site sees it, including its own mounts."""
        return Path(f"/proc/{self.worker}/root{path}")


def connected(path):
    import socket

    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(path))
    return connection


def exchange(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read().decode(errors="replace")


@contextmanager
def running(folder, wrapper=(), **environ):
    chosen = {"CLASSIFIER_UPLOADS": str(folder / "uploads"), **PYTHONPATH, **environ}
    with closing(Site(folder, chosen, TOY, wrapper)) as site:
        site.start()
        assert site.ask()[0] == 200
        yield site


def fill(folder):
    """Write until the disk is full."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def empty(folder):
    (folder / "filler").unlink()


@needs_mounts
def test_a_full_disk_for_uploads_costs_only_the_keeping(tmp_path):
    with running(tmp_path, mounted(tmp_path / "uploads", "size=1m")) as site:
        fill(site.inside(tmp_path / "uploads"))
        status, document = site.classify()
        assert status == 200
        assert NOT_KEPT in json.dumps(document)
        assert site.ask(path="/readyz")[0] == 503
        assert site.ask(path="/healthz")[0] == 200
        empty(site.inside(tmp_path / "uploads"))
        assert site.ask(path="/readyz")[0] == 200
        assert "url" in site.classify()[1]["results"][0]


@needs_mounts
def test_an_uploads_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path):
    with running(tmp_path, mounted(tmp_path / "uploads", "ro,size=1m")) as site:
        status, document = site.classify()
        assert status == 200
        assert NOT_KEPT in json.dumps(document)
        assert site.ask(path="/readyz")[0] == 503


def test_an_uploads_folder_that_is_taken_away_is_made_anew(tmp_path):
    with running(tmp_path) as site:
        url = site.classify()[1]["results"][0]["url"]
        shutil.rmtree(tmp_path / "uploads")
        assert site.ask(path=url, headers=JSON)[0] == 404
        assert site.ask(path=site.classify()[1]["results"][0]["url"])[0] == 200


def test_a_file_in_place_of_the_uploads_folder_costs_only_the_keeping(tmp_path):
    with running(tmp_path) as site:
        url = site.classify()[1]["results"][0]["url"]
        shutil.rmtree(tmp_path / "uploads")
        (tmp_path / "uploads").write_text("not a folder")
        status, document = site.classify()
        assert status == 200
        assert NOT_KEPT in json.dumps(document)
        assert site.ask(path=url, headers=JSON)[0] == 404
        assert site.ask(path="/readyz")[0] == 503


@needs_mounts
@pytest.mark.parametrize("when", ["while running", "from the start"])
def test_a_full_temporary_folder_stops_nothing(tmp_path, when):
    temporary = tmp_path / "temporary"
    filled = f"cat /dev/zero > {temporary}/filler 2>&-;" if when == "from the start" else ""
    wrapper = [*mounted(temporary, "size=2m"), "bash", "-c", f'{filled} exec "$@"', "bash"]
    with running(tmp_path, wrapper, TMPDIR=str(temporary)) as site:
        if not filled:
            fill(site.inside(temporary))
        first = site.worker
        assert all(site.is_right() for _ in range(20))
        assert site.ask(path="/readyz")[0] == 200
        assert site.worker == first


@needs_mounts
@pytest.mark.skipif(not NGINX, reason="no nginx here (apt-get install nginx-light)")
def test_nginx_without_room_for_an_upload_says_so(tmp_path):
    wrapper = mounted(tmp_path / "nginx" / "client_body", "size=1m")
    with running(tmp_path) as site, nginx(tmp_path / "nginx", site.path, wrapper) as port:
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            status, text = exchange(connection, "POST", "/", bytes(15 * 2**20), JSON)
        assert status == 503
        assert "no room" in json.loads(text)["detail"]
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            body, headers = multipart("fileImage", picture("lime"))
            assert exchange(connection, "POST", "/", body, headers)[0] == 200


@pytest.mark.skipif(not permitted("--net"), reason="no network namespaces permitted here (root)")
def test_the_site_needs_no_network(tmp_path):
    with running(tmp_path, ["unshare", "--net"]) as site:
        assert site.is_right()


def test_descriptors_that_run_out_cost_only_whom_they_are_out_for(tmp_path):
    with running(tmp_path, ["bash", "-c", 'ulimit -n 160; exec "$@"', "bash"]) as site:
        first = site.worker
        idle = [connected(site.path) for _ in range(300)]
        try:
            wait_until(lambda: descriptors(first) > 64, SOON)  # as many as are taken have been
            time_to_notice = site.connection()
            time_to_notice.request("GET", "/healthz")
        finally:
            for connection in idle:
                connection.close()
        with closing(time_to_notice):
            assert time_to_notice.getresponse().status == 200
        assert site.is_right()
        assert site.worker == first


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("redirection", ["1>&- 2>&-", "2>/dev/full"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, redirection):
    with running(tmp_path, ["bash", "-c", f'exec "$@" {redirection}', "bash"]) as site:
        assert all(site.is_right() for _ in range(5))


def test_a_log_that_nobody_reads_stops_nothing(tmp_path):
    pipe = tmp_path / "log"
    with running(tmp_path, ["bash", "-c", f'mkfifo {pipe}; exec 9<>{pipe}; exec "$@" 2>&9', "bash"]) as site:
        for _ in range(600):  # some 150 kB of log; a pipe holds 64
            assert site.ask("POST", body=b"", headers=JSON)[0] == 400
        assert site.is_right()
        assert waiting_in(pipe) > 60_000


def waiting_in(pipe):
    """Return the number of unread bytes."""
    with pipe.open("rb") as reader:
        found = bytearray(4)
        fcntl.ioctl(reader, termios.FIONREAD, found)
    return int.from_bytes(found, sys.byteorder)


def test_two_processes_share_an_uploads_folder(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    shared = {"CLASSIFIER_UPLOADS": str(tmp_path / "uploads")}
    with running(folders[0], **shared) as one, running(folders[1], **shared) as two:
        url = one.classify()[1]["results"][0]["url"]
        assert two.ask(path=url)[0] == 200
        assert two.ask("DELETE", url)[0] == 204
        assert one.ask(path=url)[0] == 404

        kept = []
        keep = [lambda site=site: kept.append(site.classify()[0]) for site in (one, two) for _ in range(20)]
        run_together((threading.Thread(target=ask) for ask in keep), timeout_s=60)
        assert kept == [200] * 40


def test_a_process_that_is_killed_is_back_soon(tmp_path):
    with running(tmp_path, TOY_LOADS_S="1") as site:
        killed = site.worker
        begun = threading.Thread(target=disappointed, args=(site,))
        begun.start()
        subprocess.run(["kill", "-9", str(killed)], check=True)
        since = time.monotonic()
        assert site.is_right()
        took_s = time.monotonic() - since
        begun.join(60)
        assert site.worker != killed
        loading_s = 1 + site_imports_in_s()
        assert took_s < loading_s + 2


def disappointed(site):
    """Send a request that is lost with the killed process."""
    try:
        site.classify("lime")
    except (OSError, HTTPException):
        return


def site_imports_in_s():
    """Return how long the toy site takes to import, as every new process must."""
    before = time.monotonic()
    code = "import sys; sys.path[:0] = ['tests']; import app, support.toy_site"
    subprocess.run([shutil.which("python3", path=ROOT / ".venv/bin"), "-c", code], cwd=ROOT, check=True)
    return time.monotonic() - before


def test_sigterm_under_load_answers_what_was_accepted_and_exits_0(tmp_path):
    outcomes = []

    def ask():
        outcomes.append(site.is_right())

    with running(tmp_path) as site:
        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(outcomes) >= 3, SOON)
        with closing(site.connection()) as held, closing(site.connection()) as watcher:
            body, headers = multipart("fileImage", picture("lime"))
            held.request("POST", "/", body[:9], {**headers, "Content-Length": str(len(body))})
            assert exchange(watcher, "GET", "/readyz")[0] == 200  # and its connection is kept
            master, site.master = site.master, None
            master.send_signal(signal.SIGTERM)
            assert ready_until_told(watcher) == 503
            held.send(body[9:])  # until then, its process goes on
            assert held.getresponse().status == 200
        assert master.wait(40) == 0
        site.start()  # what was not accepted by then waited in the socket for this one
        for thread in threads:
            thread.join(60)
        assert outcomes == [True] * 40


def ready_until_told(watcher):
    """Return the status of /readyz once the signal has arrived, on a connection that was open before."""
    while (answer := exchange(watcher, "GET", "/readyz"))[0] == 200:
        pass
    return answer[0]


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_clock_that_jumps_changes_no_answer(settings, monkeypatch, days):
    uploads = KeptResults(
        settings.uploads, clock=lambda: time.time()
    )  # the one that jumps, not the one bound at import
    client = create_app(LocalEngine(ToyModel()), settings, uploads).test_client()
    url = post(client, picture("lime"), json=True).json["results"][0]["url"]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + days * 86400)
    answer = post(client, picture("lime"), json=True)
    assert answer.status_code == 200
    assert answer.json["results"][0]["predictions"][0]["label"] == "Egyptian_cat"
    assert client.get(url).status_code == (404 if days >= 1 else 200)  # kept for 24 hours
    assert re.fullmatch("/results/[0-9a-f]{32}", url)
