"""The configuration in deploy/, executed: nginx, and gunicorn on systemd's socket, at / and under /vision/."""

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import threading
from contextlib import closing
from http.client import HTTPConnection

import pytest
from playwright.sync_api import expect
from proxied import FOLDERS, HOST, NGINX, Gunicorn, nginx, rendered
from serving import ROOT, multipart
from support.environ import PYTHONPATH
from support.needs import needs_chromium
from support.pictures import picture
from support.waiting import wait_until
from support.zip_files import zipped

pytestmark = pytest.mark.skipif(not NGINX, reason="no nginx here (apt-get install nginx-light)")

PREFIXES = pytest.mark.parametrize("prefix", ["", "/vision"], ids=["at /", "under /vision/"])
FORMATS = pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*", "application/problem+json"])
LIMIT = 20 * 2**20
LOADS_S = 4


class Deployed:
    """nginx, and the site behind it."""

    def __init__(self, port, site, folder):
        self.port, self.site, self.folder = port, site, folder
        self.url = f"http://{HOST}:{port}"

    def ask(self, method, path, body=None, headers=None, source=None):
        """Return the status, headers and text of a response."""
        connection = HTTPConnection(HOST, self.port, timeout=60, source_address=source and (source, 0))
        with closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode(errors="replace")


def deploy(folder, environ=(), start=True):
    site = Gunicorn(folder, {"CLASSIFIER_UPLOADS": str(folder / "uploads"), **PYTHONPATH, **dict(environ)}, TOY)
    if start:
        site.start()
    return site


TOY = "support.toy_deployed:app"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed")
    with closing(deploy(folder)) as site, nginx(folder / "nginx", site.path) as port:
        yield Deployed(port, site, folder)


@pytest.fixture
def down(tmp_path):
    """nginx in front of a site that is not running."""
    with nginx(tmp_path / "nginx", tmp_path / "no.sock") as port:
        yield Deployed(port, None, tmp_path)


def told(answer, accept):
    """Return the message of nginx's own refusal, from JSON or from its page."""
    status, headers, text = answer
    assert headers["X-Request-ID"]
    if "json" in accept:
        assert headers["Content-Type"] == "application/problem+json"
        document = json.loads(text)
        assert document["status"] == status
        return document["detail"]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    return re.search(r'role="alert">(.*)</p>', text)[1]


def test_nginx_accepts_its_configuration(tmp_path):
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    config = tmp_path / "nginx.conf"
    config.write_text(rendered(tmp_path, 8080, tmp_path / "classifier.sock"))
    done = subprocess.run([NGINX, "-t", "-p", tmp_path, "-c", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_nginx_takes_as_much_as_the_site():
    from web.settings import Settings

    config = (ROOT / "deploy" / "nginx.conf").read_text()
    assert f"client_max_body_size {Settings().max_upload_mb}m;" in config


def test_the_deadlines_enclose_each_other(monkeypatch):
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    unit = (ROOT / "deploy" / "classifier.service").read_text()
    answer = int(re.search(r"CLASSIFIER_TIMEOUT_S=(\d+)", unit)[1])
    monkeypatch.setenv("CLASSIFIER_TIMEOUT_S", str(answer))
    graceful = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["graceful_timeout"]
    read = int(re.search(r"proxy_read_timeout (\d+)s;  # above", config)[1])
    stop = int(re.search(r"TimeoutStopSec=(\d+)", unit)[1])
    assert answer <= 15
    assert answer < graceful < stop
    assert answer < graceful < read


@PREFIXES
def test_the_page_and_all_it_refers_to_are_there(deployed, prefix):
    status, headers, page = deployed.ask("GET", f"{prefix}/")
    assert status == 200
    assert headers["Server"] == "nginx"
    links = re.findall(r'(?:href|src|action)="([^"#]+)"', page)
    assert any("site.css" in link for link in links)
    for link in links:
        assert link.startswith(f"{prefix}/")
        assert deployed.ask("GET", link)[0] == 200, link


@PREFIXES
def test_a_photo_is_answered_kept_shown_and_deleted(deployed, prefix):
    body, headers = multipart("fileImage", picture("lime"))
    status, _, page = deployed.ask("POST", f"{prefix}/", body, headers)
    assert status == 200
    assert "The image you uploaded is an Egyptian cat (" in page
    assert f'action="{prefix}/results/' in page
    assert f"</span>{prefix}/results/" in page  # the address for curl

    status, _, text = deployed.ask("POST", f"{prefix}/", body, {**headers, "Accept": "application/json"})
    url = json.loads(text)["results"][0]["url"]
    assert url.startswith(f"{prefix}/results/")
    assert deployed.ask("GET", url)[0] == 200
    assert deployed.ask("GET", f"{url}/image")[1]["Content-Type"] == "image/jpeg"
    assert deployed.ask("DELETE", url, headers={"Origin": "http://elsewhere.example"})[0] == 403
    assert deployed.ask("DELETE", url, headers={"Origin": deployed.url})[0] == 204
    status, _, page = deployed.ask("GET", url)
    assert status == 404
    assert "is not here" in page  # the site's own sentence: nginx does not replace it
    assert 'class="upload' in page


def test_without_its_slash_the_prefix_leads_to_the_page(deployed):
    status, headers, _ = deployed.ask("GET", "/vision")
    assert (status, headers["Location"]) == (301, "/vision/")


@PREFIXES
@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl_asks_through_nginx(deployed, prefix, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture("blue"))
    command = ["curl", "-sS", "-F", f"fileImage=@{photo}", f"{deployed.url}{prefix}/"]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "The image you uploaded is a blue jay (" in page


def test_what_a_visitor_claims_about_itself_is_replaced(deployed):
    claims = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.2.3.4"}
    body, headers = multipart("fileImage", picture("lime"))
    page = deployed.ask("POST", "/", body, {**headers, **claims})[2]
    assert "evil" not in page


def test_the_metrics_are_not_open_to_the_world(deployed):
    for path in ("/metrics", "/vision/metrics"):
        status, _, text = deployed.ask("GET", path, headers={"Accept": "application/json"}, source="127.0.0.2")
        assert status == 403
        assert "have access to this page" in text


@FORMATS
def test_more_than_one_request_may_hold_is_refused_by_nginx_in_a_sentence(deployed, accept):
    answer = deployed.ask("POST", "/models/toy", b"x" * (LIMIT + 1), {"Accept": accept})
    assert answer[0] == 413
    assert "more than one request may hold" in told(answer, accept)


def test_as_much_as_it_may_hold_reaches_the_site(deployed):
    status, _, page = deployed.ask("POST", "/", b"x" * (LIMIT + 1), {"Content-Type": "text/plain"})
    assert status == 400
    assert 'class="upload' in page


@PREFIXES
def test_a_zip_file_larger_than_photos_may_be_is_answered_photo_by_photo(deployed, prefix):
    noise = [(f"{n}.bmp", os.urandom(10**6)) for n in range(LIMIT // 10**6 + 1)]
    archive = zipped(*noise, ("last.png", picture("lime")), method=0)
    assert len(archive) > LIMIT
    body, headers = multipart("fileImage", archive)
    status, sent, rows = deployed.ask("POST", f"{prefix}/", body, headers | {"Accept": "text/csv"})
    assert (status, sent["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert rows.count("This file is not an image") == len(noise)
    assert re.search(rf"last.png,Egyptian_cat,.*{prefix}/results/", rows)


@pytest.mark.parametrize("megabytes", [1, 19, 21, 200])
def test_the_refusal_of_a_large_upload_can_always_be_read(deployed, megabytes, tmp_path):
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(megabytes * 2**20)
    command = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-F", f"fileImage=@{large}", deployed.url]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == ("413" if megabytes > 20 else "415")


@FORMATS
def test_a_site_that_is_down_is_told(down, accept):
    answer = down.ask("GET", "/", headers={"Accept": accept})
    assert answer[0] == 502
    assert answer[1]["Retry-After"] == "5"
    assert "not running" in told(answer, accept)


def test_the_page_of_a_refusal_leads_back(down):
    assert 'href="/vision/"' in down.ask("GET", "/vision/results/x")[2]
    assert 'href="/"' in down.ask("GET", "/results/x")[2]


def test_a_request_that_is_none_is_told(down):
    with socket.create_connection((HOST, down.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a b c\r\nAccept: application/json\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"cannot be understood" in answer


def test_too_many_from_one_address_are_refused_and_others_are_not(down):
    statuses = [down.ask("POST", "/", headers={"Accept": "application/json"}, source="127.0.0.3")[0] for _ in range(90)]
    assert set(statuses[:60]) == {502}
    assert statuses.count(429) > 5
    answer = down.ask("POST", "/", headers={"Accept": "application/json"}, source="127.0.0.3")
    if answer[0] == 429:
        assert "more requests than one visitor may" in told(answer, "application/json")
    assert down.ask("POST", "/", source="127.0.0.4")[0] == 502


def test_while_the_site_loads_readiness_is_refused_and_visitors_wait(tmp_path):
    loading = deploy(tmp_path, {"TOY_LOADS_S": str(LOADS_S)})
    with closing(loading) as site, nginx(tmp_path / "nginx", site.path) as port:
        deployed = Deployed(port, site, tmp_path)
        answer = deployed.ask("GET", "/readyz", headers={"Accept": "application/json"})
        assert answer[0] == 503
        assert answer[1]["Retry-After"] == "5"
        assert "is starting" in told(answer, "application/json")
        assert deployed.ask("GET", "/")[0] == 200
        assert deployed.ask("GET", "/readyz")[0] == 200


def test_slow_senders_hold_no_thread_of_the_site(deployed):
    """400 uploads that never end, more than the site has threads, from 20 addresses."""
    body, headers = multipart("fileImage", picture("lime"))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Type: {headers['Content-Type']}\r\n\r\n"
    slow = []
    try:
        for number in range(400):
            source = (f"127.0.1.{number % 20 + 1}", 0)
            slow.append(socket.create_connection((HOST, deployed.port), source_address=source))
            slow[-1].sendall(head.encode() + body[:100])
        assert deployed.ask("POST", "/", body, headers)[0] == 200
        assert deployed.ask("GET", "/")[0] == 200
    finally:
        for connection in slow:
            connection.close()


@needs_chromium
def test_a_browser_uses_the_site_under_the_prefix(deployed, browser, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture("lime"))
    with browser.new_context() as context:
        page = context.new_page()
        failed = []
        page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
        page.goto(f"{deployed.url}/vision/")
        page.set_input_files("#fileImage", [photo])
        expect(page.locator("article h2").first).to_contain_text("an Egyptian cat")
        expect(page).to_have_url(re.compile("/vision/results/[0-9a-f]{32}$"))
        expect(page.locator(".picture img").first).to_have_js_property("naturalWidth", 320)
        page.click("text=Delete")
        expect(page.locator("[role=status]")).to_contain_text("were deleted")
        page.get_by_role("link", name="What is in this photo?").click()
        expect(page).to_have_url(f"{deployed.url}/vision/")
        assert failed == []


class Load:
    """Clients that send one request after the other until they are stopped; `failures` lists the wrong answers."""

    def __init__(self, deployed, clients=6):
        self.deployed, self.answers, self.failures = deployed, 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, more):
        """Wait until `more` requests have been answered."""
        goal = self.answers + more
        wait_until(lambda: self.answers >= goal or self.failures, 60)

    def _client(self, number):
        body, headers = multipart("fileImage", picture("lime"))
        for turn in range(10**6):
            if self._stop.is_set():
                return
            source = f"127.0.{2 + number}.{turn % 200 + 1}"  # an address each: nginx' limits are not the question
            try:
                if turn % 3:
                    status, _, page = self.deployed.ask("POST", "/", body, headers, source)
                    right = "an Egyptian cat" in page
                else:
                    status, _, page = self.deployed.ask("GET", "/", source=source)
                    right = 'class="upload' in page
            except OSError as error:
                status, right = error, False
            self.answers += 1
            if status != 200 or not right:
                self.failures.append(status)


@pytest.mark.parametrize("way", ["systemctl reload", "systemctl restart"])
def test_nothing_fails_while_the_site_is_restarted_under_load(tmp_path, way):
    """Reload sends HUP; restart ends the whole process and starts it again on the socket that systemd keeps."""
    with closing(deploy(tmp_path, {"TOY_LOADS_S": "0.5"})) as site, nginx(tmp_path / "nginx", site.path) as port:
        with Load(Deployed(port, site, tmp_path)) as load:
            for _ in range(3):
                if way == "systemctl reload":
                    site.master.send_signal(1)
                else:
                    assert site.stop() == 0
                    site.start()
                load.wait_for(60)
        assert load.failures == []
        assert load.answers > 200


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here (apt-get install systemd)")
class TestUnit:
    def test_systemd_accepts_the_units(self, tmp_path):
        for name in ("classifier.service", "classifier.socket"):
            unit = (ROOT / "deploy" / name).read_text()
            (tmp_path / name).write_text(unit.replace("/opt/classifier/.venv/bin/gunicorn", "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", *tmp_path.iterdir()], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_little_is_exposed(self):
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=10"]
        done = subprocess.run([*command, ROOT / "deploy" / "classifier.service"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
