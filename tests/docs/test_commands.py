"""Every command block of the documents runs: in a copy of the repository, in order, page by page."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.command_blocks import (
    PAGES,
    ROOT,
    SITE,
    Block,
    Checkout,
    blocks,
    is_default_site,
    last_json,
    offline,
    shape,
    steps,
)

MAX_NOT_RUN = 8
CLASSES, PHOTOS = ("daisy", "rose", "tulip"), 12
TABBY = 281  # of ImageNet's classes, which the documents ask about

# A saved Keras model, and a model folder made of it: what a reader has after training somewhere else.
MAKE_MODEL = """
import runpy, sys
from classifier.models.quick_start import import_keras
import_keras()
import keras
layers = keras.layers
keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(),
                  layers.Dense(1000, activation="softmax")]).save("model.keras")
sys.argv = ["classifier", "import", "model.keras", "--labels", "labels.txt", "-o", sys.argv[1]]
runpy.run_module("classifier", run_name="__main__")
"""


def shell_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "sh"]


def runs(block: Block) -> bool:
    return block.language == "sh" and not block.reason


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """The inputs of the documents' commands: photos, folders of classes, a saved model with its labels."""
    folder = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(0)
    shutil.copy(ROOT / "static" / "examples" / "balloon.jpg", folder / "photo.jpg")
    shutil.copy(ROOT / "static" / "examples" / "clock.jpg", folder / "another.jpg")
    for data in ("flowers", "more-flowers"):
        for petals, label in enumerate(CLASSES, start=3):
            (folder / data / label).mkdir(parents=True)
            for number in range(PHOTOS):
                flower(petals, random).save(folder / data / label / f"{number}.jpg")
    labels = [f"class {index}" for index in range(1000)]
    labels[TABBY] = "tabby"
    (folder / "labels.txt").write_text("\n".join(labels))
    return folder


def flower(petals: int, random: np.random.Generator) -> Image.Image:
    """Draw a flower somewhere on a noisy ground; its class is its number of petals and its colour."""
    noise = random.integers(0, 120, (12, 12, 3), np.uint8)
    image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
    draw, (x, y), turn = ImageDraw.Draw(image), random.uniform(36, 60, 2), random.uniform(0, 6)
    for petal in range(petals):
        angle = turn + petal * 2 * np.pi / petals
        draw.circle((x + 18 * np.cos(angle), y + 18 * np.sin(angle)), 12, fill=(255, 60 * petals - 120, 180))
    return image


@pytest.fixture(scope="module")
def environ(inputs, tmp_path_factory) -> dict[str, str]:
    """The readers' environment: no network, curl that fails for errors, and a small model in VGG16's place."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    without_network = offline(os.environ) | {"KERAS_HOME": str(folder / "keras"), "CURL_HOME": str(folder)}
    model = folder / "vgg16"
    subprocess.run(
        [sys.executable, "-c", MAKE_MODEL, model], cwd=inputs, check=True, capture_output=True,
        env=without_network | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return without_network | {
        "CLASSIFIER_MODEL": str(model),
        "CLASSIFIER_WEIGHTS": "random",  # wherever a page names a model of keras.applications
        "CLASSIFIER_UPLOADS": str(folder / "uploads"),
    }


@pytest.fixture(scope="module")
def default_site(inputs, environ, tmp_path_factory) -> Iterator[str]:
    """The port of the site that `make run` serves; pages that need no other site share it."""
    checkout = Checkout.create(tmp_path_factory.mktemp("default"), inputs, environ)
    with checkout.serving("make run"):
        yield checkout.ports[SITE]


@pytest.mark.tensorflow
@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here (apt-get install curl)")
@pytest.mark.parametrize("page", [page for page in PAGES if any(map(runs, shell_blocks(page)))], ids=name)
def test_the_commands_of_a_page_run(page, inputs, environ, tmp_path, request):
    checkout = Checkout.create(tmp_path, inputs, environ)
    printed = None
    with ExitStack() as site:
        for block in blocks(page):
            if runs(block):
                printed = run(block, checkout, site, request)
            elif block.language == "json" and printed:
                assert shape(last_json(printed)) == shape(json.loads(block.code))
            else:
                printed = None


def run(block: Block, checkout: Checkout, site: ExitStack, request: pytest.FixtureRequest) -> str:
    """Run a block and return what it prints; `site` holds the site that the page has started last."""
    printed = ""
    for serves, commands in steps(block.code):
        if serves:
            site.close()
            checkout.ports.free.clear()
        if serves and not is_default_site(commands):
            site.enter_context(checkout.serving(commands))
        elif serves or (SITE in commands and SITE not in checkout.ports.free):
            checkout.ports.free[SITE] = request.getfixturevalue("default_site")
        if not serves:
            printed += checkout.run(commands)
    return printed


def test_few_blocks_are_not_run():
    reasons = [block.reason for page in PAGES for block in shell_blocks(page) if block.reason]
    assert len(reasons) <= MAX_NOT_RUN, reasons


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_all_commands_are_in_blocks_that_are_found(page):
    text = page.read_text()
    assert len(re.findall(r"^\s*(?:```|~~~)\s*(?:sh|bash|shell|console|zsh)\b", text, re.M)) == len(shell_blocks(page))
    assert len(re.findall("^<!-- not run", text, re.M)) == sum(bool(block.reason) for block in blocks(page))


def test_a_failing_command_fails_its_block(tmp_path):
    checkout = Checkout(tmp_path, os.environ)
    assert checkout.run("true\necho done") == "done\n"
    for commands in ("false\ntrue", "false | true", "echo $UNSET_VARIABLE"):
        with pytest.raises(AssertionError):
            checkout.run(commands)


def test_ports_are_replaced_alike(tmp_path):
    checkout = Checkout(tmp_path, os.environ)
    port, other = (
        checkout.run("echo 127.0.0.1:3000 localhost:5000 $PORT").split()[0].split(":")[1],
        checkout.ports["5000"],
    )
    assert port != "3000"
    assert checkout.run("echo 127.0.0.1:3000 localhost:5000 $PORT") == f"127.0.0.1:{port} localhost:{other} {port}\n"


def test_a_line_that_serves_is_a_step_of_its_own():
    assert list(steps("echo 1\nNAME=value make run\ncurl x\n")) == [
        (False, "echo 1\n"), (True, "NAME=value make run\n"), (False, "curl x\n"),
    ]  # fmt: skip
