"""Existing clients, pointed at a running site, at its root and below a prefix."""

import base64
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from support.environ import PYTHONPATH
from support.models import COLOURS, ToyModel
from support.pictures import picture
from support.sites import listening
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from app import create_app
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import ROOT, Settings

PREFIX = "/vision"
LABELS = list(COLOURS.values())
PHOTOS = [picture(colour) for colour in COLOURS]
DOCUMENT = (ROOT / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```(sh|python)\n(.*?)```", DOCUMENT, re.S)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The host and port of a site that is served twice, at / and at /vision/."""
    folder = tmp_path_factory.mktemp("uploads")
    engine = LocalEngine(ToyModel())
    app = create_app(engine, Settings(uploads=folder), KeptResults(folder))
    both = DispatcherMiddleware(app, {PREFIX: app})
    with listening(both) as port:
        yield f"127.0.0.1:{port}"
    engine.close()


@pytest.fixture(params=["", PREFIX], ids=["root", "prefix"])
def site(request, address):
    return address + request.param


@pytest.fixture
def triton(site):
    with InferenceServerClient(site) as client:
        yield client


@pytest.fixture
def hugging_face(site):
    return InferenceClient(f"http://{site}/models/toy", token="unused")


def images(*photos: bytes, binary: bool = True) -> InferInput:
    data = np.array(photos if binary else [base64.b64encode(photo) for photo in photos], object)
    return InferInput("images", data.shape, "BYTES").set_data_from_numpy(data, binary_data=binary)


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=[language for language, _ in EXAMPLES])
def test_the_examples_of_the_document_run(site, tmp_path, language, example):
    if language == "sh" and not shutil.which("curl"):
        pytest.skip("no curl here")
    (tmp_path / "photo.jpg").write_bytes(picture("lime", format="JPEG"))
    (tmp_path / "another.jpg").write_bytes(picture("red", format="JPEG"))
    shell = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}[language]
    code = example.replace("127.0.0.1:3000", site).replace("vgg16", "toy")
    done = subprocess.run([*shell, code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r'Egyptian_cat.*red_fox|"predictions":\[\[0\.0\d+,0\.9\d+,0\.0\d+\]\]', done.stdout, re.S)


def test_there_are_examples_for_all_clients():
    assert [language for language, _ in EXAMPLES] == ["sh"] + ["sh", "python"] * 2 + ["sh"]


def test_hugging_face_sends_an_image_as_it_is(hugging_face):
    found = hugging_face.image_classification(PHOTOS[1])
    assert [element.label for element in found] == ["Egyptian_cat", "red_fox", "blue_jay"]
    assert found[0].score == pytest.approx(256 / 258)


def test_hugging_face_sends_parameters(hugging_face):
    (best,) = hugging_face.image_classification(PHOTOS[2], top_k=1, function_to_apply="softmax")
    assert best.label == "blue_jay"


def test_hugging_face_reads_our_sentence(hugging_face):
    with pytest.raises(HfHubHTTPError, match="can only be") as caught:
        hugging_face.image_classification(PHOTOS[2], function_to_apply="sigmoid")
    assert caught.value.response.status_code == 400
    with pytest.raises(HfHubHTTPError) as caught:
        hugging_face.image_classification(b"words")
    assert caught.value.response.status_code == 415


def test_triton_finds_server_and_model_ready(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy")
    assert triton.is_model_ready("toy", "1")
    assert not triton.is_model_ready("another")
    assert not triton.is_model_ready("toy", "2")


def test_triton_reads_metadata(triton):
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    model = triton.get_model_metadata("toy")
    assert model == triton.get_model_metadata("toy", "1")
    assert [tensor["name"] for tensor in model["inputs"]] == ["images", "pixels"]
    assert model["inputs"][1]["shape"] == [-1, 224, 224, 3]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_triton_gets_several_images_answered_in_order(triton, binary):
    names = ["labels", "scores", "indices"]
    outputs = [InferRequestedOutput(name, binary_data=binary) for name in names]
    answer = triton.infer("toy", [images(*PHOTOS, binary=binary)], outputs=outputs, request_id="seven")
    assert answer.get_response()["id"] == "seven"
    labels, scores, indices = (answer.as_numpy(name) for name in names)
    assert labels[:, 0].astype(str).tolist() == LABELS
    assert scores[:, 0] == pytest.approx(np.full(3, 256 / 258))
    assert scores.dtype == np.float32
    assert indices.shape == (3, 3)
    assert indices[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_triton_sends_pixels(triton, binary):
    data = np.zeros((2, 224, 224, 3), np.uint8)
    data[0, ..., 2] = data[1, ..., 0] = 255
    pixels = InferInput("pixels", data.shape, "UINT8").set_data_from_numpy(data, binary_data=binary)
    answer = triton.infer("toy", [pixels], model_version="1", parameters={"top_k": 1})
    assert answer.as_numpy("indices").tolist() == [[2], [0]]


def test_triton_gets_the_outputs_it_names_each_as_it_wants(triton):
    outputs = [InferRequestedOutput("indices"), InferRequestedOutput("labels", binary_data=False)]
    answer = triton.infer("toy", [images(PHOTOS[0])], outputs=outputs)
    assert answer.as_numpy("indices")[0, 0] == 0
    assert answer.get_output("labels")["data"][0] == "red_fox"
    assert answer.as_numpy("scores") is None


def test_triton_reads_our_sentences(triton):
    with pytest.raises(InferenceServerException, match=r"\[404\] There is no model of this name"):
        triton.infer("another", [images(PHOTOS[0])])
    with pytest.raises(InferenceServerException, match=r"\[415\] Image 2 of 2: This file is not an image"):
        triton.infer("toy", [images(PHOTOS[0], b"words")])
    with pytest.raises(InferenceServerException, match=r"\[404\] There is nothing at this address"):
        triton.get_model_config("toy")
    with pytest.raises(InferenceServerException, match=r"\[415\] Compressed requests are not read"):
        triton.infer("toy", [images(PHOTOS[0])], request_compression_algorithm="gzip")


@pytest.mark.parametrize(
    ("prefix", "accept", "phases"),
    [("", "*/*", "examples,coverage"), (PREFIX, "application/json", "fuzzing,stateful")],
    ids=["root", "prefix"],
)
def test_schemathesis_finds_no_violation(address, tmp_path, prefix, accept, phases):
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(ROOT / "tests/clients/schemathesis.toml"),
    ]
    options = ["--max-examples=3", "--generation-deterministic", "--no-shrink", "--no-color", "--phases", phases]
    done = subprocess.run(
        [*command, "run", f"http://{address}{prefix}/openapi.json", *options, "-H", f"Accept: {accept}"],
        cwd=tmp_path,
        env={**os.environ, **PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
