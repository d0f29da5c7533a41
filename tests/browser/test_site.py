"""The real site: gunicorn as `make run` starts it, used by curl and by Chromium."""

import json
import os
import re
import shlex
import signal
import subprocess

import pytest
from playwright.sync_api import expect
from serving import ROOT, free_port, gunicorn, running
from support.needs import SHARED, needs_chromium, needs_shared
from support.pictures import encoded, picture, textured

pytestmark = pytest.mark.tensorflow


FOCUSED = """() => {
    const { ariaLabel, textContent, id } = document.activeElement;
    return ariaLabel || textContent.trim() || id;
}"""


def curl(*args):
    return subprocess.run(["curl", "-sS", *args], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "site.log"


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "uploads"


@pytest.fixture(scope="module")
def site(log, uploads):
    """The site with the real weights of MobileNetV2 if they are here, otherwise with random ones."""
    environ = {"CLASSIFIER_MODEL": "mobilenet_v2", "CLASSIFIER_UPLOADS": str(uploads), "CLASSIFIER_WEIGHTS": "random"}
    if SHARED.is_dir():
        environ["CLASSIFIER_WEIGHTS"] = str(SHARED / "mobilenet_v2.weights.h5")
    with log.open("wb") as file, running(environ, file) as site:
        yield site


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(textured((800, 600)), "JPEG"))
    return path


@needs_shared
def test_curl_gets_the_right_name(site):
    html = curl("-F", f"fileImage=@{SHARED}/photos/n02364673_guinea_pig.JPEG", site.url)
    assert re.search(r"The image you uploaded is a guinea pig \(\d\d\.\d\d%\)", html)


def test_curl_gets_json_for_several_files(site, photo):
    sent = ["-F", f"fileImage=@{photo}", "-F", f"fileImage=@{ROOT}/Makefile"]
    document = json.loads(curl("-H", "Accept: application/json", *sent, site.url))
    assert document["model"] == "mobilenet_v2"
    assert len(document["results"][0]["predictions"]) == 5
    assert document["results"][1]["error"]["status"] == 415


@pytest.mark.parametrize("command", re.findall(r"^curl .*", (ROOT / "README.md").read_text(), re.M))
def test_the_curl_examples_of_the_readme_work(site, photo, command):
    words = shlex.split(command.replace("http://127.0.0.1:3000", site.url))
    answer = curl(*[re.sub("@.*", f"@{photo}", word) for word in words[1:]])
    assert "The image you uploaded is a" in answer or len(json.loads(answer)["results"]) == command.count("-F")


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_reads_the_refusal_of_a_body_far_too_large(site, tmp_path, expect):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100 * 2**20)
    status = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert curl(*status, "-H", expect, "-F", f"fileImage=@{large}", site.url) == "413"
    assert curl(*status, "-H", "Transfer-Encoding: chunked", "-F", f"fileImage=@{large}", site.url) == "413"
    assert curl(*status, site.url) == "200"


def test_the_log_says_which_device_answers(site, log):
    text = log.read_text()
    assert "mobilenet_v2 answers on CPU" in text or "mobilenet_v2 answers on GPU" in text
    assert f"Ready: open {site.url} in a browser." in text


@needs_chromium
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_browser_uploads_keeps_and_deletes(site, browser, photo, uploads, script):
    with browser.new_context(java_script_enabled=script) as context:
        page = context.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("response", lambda response: complaints.append(response.url) if response.status >= 500 else None)
        page.goto(site.url)
        page.set_input_files("#fileImage", [photo])
        if not script:
            page.click("text=What is it?")
        expect(page.locator("article h2").first).to_contain_text("The image you uploaded is a")
        expect(page.locator("progress")).to_have_count(5)
        expect(page.locator(".picture img")).to_have_js_property("naturalWidth", 800)

        if not script:
            page.get_by_role("link", name="Link").click()
        expect(page).to_have_url(re.compile("/results/[0-9a-f]{32}$"))
        expect(page.locator("progress")).to_have_count(5)
        kept = page.url
        page.click("text=Delete")
        expect(page.locator("[role=status]")).to_contain_text("were deleted")
        assert page.goto(kept).status == 404
        expect(page.locator("[role=alert]")).to_contain_text("is not here")
        assert [complaint for complaint in complaints if "404" not in complaint] == []
        assert list(uploads.glob(kept[-32:] + "*")) == []


@needs_chromium
def test_a_browser_shows_the_error_and_the_form_again(site, browser):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(site.url)
        page.set_input_files("#fileImage", [ROOT / "Makefile"])
        expect(page.locator("[role=alert]")).to_contain_text("is not an image")
        expect(page.locator("form.upload")).to_be_visible()


@needs_chromium
def test_the_form_works_by_keyboard(site, browser, photo):
    with browser.new_context() as context:
        page = context.new_page()
        page.on("filechooser", lambda chooser: chooser.set_files([photo]))
        page.goto(site.url)
        focused = []
        for _ in range(5):
            page.keyboard.press("Tab")
            focused.append(page.evaluate(FOCUSED))
        assert focused == ["Skip to main content", "What is in this photo?", "API", "Dark theme", "fileImage"]
        page.keyboard.press("Enter")
        page.wait_for_selector("article h2")
        focused = []
        while "Bad photo" not in focused:
            page.keyboard.press("Tab")
            focused.append(page.evaluate(FOCUSED))
        assert [name for name in focused if name.startswith("Right: ")] == focused[1:-2:2]
        page.keyboard.press("Enter")
        expect(page.locator("[role=status]")).to_contain_text("bad photo")


@needs_chromium
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_the_colours_follow_the_system(site, browser, photo, width, scheme):
    with browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(site.url)
        page.set_input_files("#fileImage", [photo, ROOT / "Makefile"])
        page.wait_for_selector("#answers[aria-busy=false]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        red = page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
        assert (red < 64) == (scheme == "dark")


def test_vgg16_with_random_weights_runs_end_to_end_from_any_directory(tmp_path):
    (tmp_path / "photo.png").write_bytes(picture())
    environ = {"CLASSIFIER_WEIGHTS": "random", "CLASSIFIER_UPLOADS": str(tmp_path / "uploads")}
    with running(environ, cwd=tmp_path) as site:
        html = curl("-F", f"fileImage=@{tmp_path}/photo.png", site.url)
        assert "The image you uploaded is a" in html
        assert "answers mean nothing" in html
        assert "<strong>vgg16</strong>" in html
        with_style = curl(site.url + "/static/site.css")
        assert "progress" in with_style
        site.master.send_signal(signal.SIGTERM)
        assert site.master.wait(timeout=30) == 0
    assert len(list((tmp_path / "uploads").glob("*.json"))) == 1


BAD_CONFIGURATIONS = {
    "weights missing": ({"CLASSIFIER_WEIGHTS": "/nowhere/vgg16.weights.h5"}, "The weights /nowhere/vgg16.weights.h5"),
    "labels missing": ({"CLASSIFIER_LABELS": "/nowhere/labels.json"}, "The labels /nowhere/labels.json"),
    "no such model": ({"CLASSIFIER_MODEL": "vgg61"}, "The model 'vgg61'"),
    "bad setting": ({"CLASSIFIER_TOP": "many"}, "CLASSIFIER_TOP must be a whole number"),
}


# Starts the site with one configuration after the other: TensorFlow is imported only once.
STARTS = """
import importlib, json, os, sys
for environ in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        importlib.import_module("wsgi")
        code = None
    except SystemExit as end:
        code = end.code
    sys.modules.pop("wsgi", None)
    os.environ.clear()
    os.environ.update(before)
    print(f"ended with {code}", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """An environment in which the site starts, to be combined with a bad configuration."""
    labels = tmp_path_factory.mktemp("labels") / "labels.json"
    labels.write_text(json.dumps({str(i): ["", f"class {i}"] for i in range(10)}))
    return {**os.environ, "CLASSIFIER_MODEL": "mobilenet_v2", "CLASSIFIER_LABELS": str(labels)}


@pytest.fixture(scope="module")
def endings(configured):
    """The output and the exit code of `wsgi` for each bad configuration."""
    environs = json.dumps([environ for environ, _ in BAD_CONFIGURATIONS.values()])
    command = [gunicorn("")[0], "-c", STARTS, environs]
    result = subprocess.run(command, cwd=ROOT, env=configured, capture_output=True, text=True, timeout=120, check=True)
    written = re.findall(r"(.*?)^ended with (\w+)$", result.stderr, re.M | re.S)
    return dict(zip(BAD_CONFIGURATIONS, written, strict=True))


def says_why(written, line):
    said = [said for said in written.splitlines() if said.startswith("Cannot start: ")]
    return len(said) == 1 and line in said[0] and "Traceback" not in written


@pytest.mark.parametrize("name", BAD_CONFIGURATIONS)
def test_what_cannot_start_says_why_in_one_line(endings, name):
    written, code = endings[name]
    assert says_why(written, BAD_CONFIGURATIONS[name][1]), written
    assert code == "4"


@pytest.mark.parametrize("server", ["gunicorn", "flask run"])
@pytest.mark.parametrize("name", ["no such model", "bad setting"], ids=["with TensorFlow", "before"])
def test_a_server_of_what_cannot_start_says_why_and_exits(configured, server, name):
    environ, line = BAD_CONFIGURATIONS[name]
    command = gunicorn(f"127.0.0.1:{free_port()}")
    if server == "flask run":
        command = [command[0], "-m", "flask", "--app", "wsgi", "run", "--port", str(free_port())]
    result = subprocess.run(
        command, cwd=ROOT, env={**configured, **environ}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode != 0
    assert says_why(result.stderr, line), result.stderr
    assert "Traceback" not in result.stdout
