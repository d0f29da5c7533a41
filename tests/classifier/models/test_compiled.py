"""A compiled folder is served by OpenVINO alone, and one that was changed is refused with a one-line reason."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from support.compiled_folders import SIDE, colours_graph, expected_colours, write_compiled_colours
from support.model_folders import COLOURS
from support.pictures import picture

from classifier.contract import Label
from classifier.errors import NotExplainable, StartupError
from classifier.models import compiled, folder, load
from classifier.models.compiled_trial import attempt
from classifier.options import ModelOptions
from classifier.serving.engine import LocalEngine
from web.settings import ROOT

PIXELS = np.random.default_rng(0).integers(0, 256, (11, SIDE, SIDE, 3), np.uint8)
SERVE = """
import sys
from classifier.models import load
from classifier.models.compiled_trial import attempt
from classifier.options import ModelOptions
from classifier.serving.engine import LocalEngine
from app import create_app

engine = LocalEngine(load(ModelOptions(model=sys.argv[1])))
(answer,) = engine.classify([open(sys.argv[2], "rb").read()])
print(answer.predictions[0].label, sorted({"tensorflow", "keras", "jax", "torch", "nncf"} & sys.modules.keys()))
engine.close()
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_compiled_colours(tmp_path_factory.mktemp("models") / "colours", threshold=0.5)


@pytest.fixture
def own(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "colours"))


@pytest.fixture(scope="module")
def model(original):
    return load(ModelOptions(model=str(original)))


def refused(path: Path) -> str:
    with pytest.raises(StartupError) as raised:
        load(ModelOptions(model=str(path)))
    message = str(raised.value)
    assert message.startswith(f"The model folder {path} cannot be used: ")
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_compiled_model_answers_what_numpy_computes_for_any_number_of_images(model):
    for count in (1, 3, model.largest_run, len(PIXELS)):
        scores = model(PIXELS[:count])
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected_colours(PIXELS[:count]), atol=1e-5)


def test_the_file_of_the_weights_takes_no_memory_once_the_model_has_answered(tmp_path):
    path = write_compiled_colours(tmp_path / "colours", hidden=2**18)
    assert (path / "model.bin").stat().st_size > 2**22
    model = load(ModelOptions(model=str(path)))
    mapped = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M)
    resident = [int(re.search(r"^Rss: +(\d+)", part, re.M)[1]) for part in mapped if f"{path}/model.bin" in part]
    assert resident == [0]
    np.testing.assert_allclose(model(PIXELS), expected_colours(PIXELS), atol=1e-5)


def test_an_answer_stays_when_the_next_one_is_computed(model):
    scores = model(PIXELS[:1])
    model(PIXELS[1:2])
    np.testing.assert_allclose(scores, expected_colours(PIXELS[:1]), atol=1e-5)


def test_threads_do_not_get_each_others_answers(model):
    found = {}

    def ask(i):
        found[i] = [model(PIXELS[i : i + 1]) for _ in range(20)]

    threads = [Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, answers in found.items():
        np.testing.assert_allclose(
            np.concatenate(answers), np.repeat(expected_colours(PIXELS[i : i + 1]), 20, 0), atol=1e-5
        )


def test_a_model_is_described_by_its_card(model):
    info = model.info
    assert (info.name, info.size, info.threshold, info.device) == ("colours", (SIDE, SIDE), 0.5, "CPU")
    assert (info.precision, info.resize, info.is_random) == ("float32", "crop", False)
    assert info.labels == [Label("", name) for name in COLOURS]


def test_labels_keep_their_wordnet_ids(tmp_path):
    ids = ["n00000001", "n00000002", "n00000003"]
    path = write_compiled_colours(tmp_path / "colours", wnids=ids)
    assert [label.wnid for label in load(ModelOptions(model=str(path))).info.labels] == ids


def test_broader_terms_are_those_of_the_model(tmp_path):
    grouped = write_compiled_colours(tmp_path / "grouped", groups={"warm": ["red", "green"]})
    (term,) = load(ModelOptions(model=str(grouped))).info.terms.terms
    assert (term.label, term.classes) == ("warm", (0, 1))
    dogs = write_compiled_colours(
        tmp_path / "dogs", wnids=["n02085620", "n02085782", "n02123045"]
    )  # two dogs and a cat
    assert "dog" in [term.label for term in load(ModelOptions(model=str(dogs))).info.terms.terms]


def test_random_weights_are_declared(tmp_path):
    path = write_compiled_colours(tmp_path / "colours", weights="random")
    assert load(ModelOptions(model=str(path))).info.is_random


def test_it_is_served_where_neither_tensorflow_nor_keras_is_imported(original, tmp_path):
    photo = tmp_path / "blue.png"
    photo.write_bytes(picture("blue"))
    done = subprocess.run([sys.executable, "-c", SERVE, original, photo], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "blue []", done.stderr


def test_the_engine_answers_with_it(model):
    engine = LocalEngine(model)
    answers = engine.classify([picture(colour) for colour in ("red", "lime", "blue")])
    engine.close()
    assert [answer.predictions[0].label for answer in answers] == COLOURS


@pytest.fixture
def forgetful(monkeypatch, tmp_path):
    """A home in which nothing is remembered yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


def ending(statement: str):
    """Return an attempt whose child process runs a statement."""
    return partial(attempt, command=(sys.executable, "-c", statement))


ABORTING = ending("import os; os.abort()")


def test_a_folder_is_tried_in_a_child_process_once(forgetful, original):
    tried = []

    def counting(path):
        tried.append(path)
        return attempt(path)

    for _ in range(2):
        assert load(ModelOptions(model=str(original)), attempt=counting).info.name == "colours"
    assert tried == [original]
    assert attempt(original) > 20  # MB


def test_a_crash_is_one_sentence_where_nothing_else_can_answer(forgetful, original):
    for _ in range(2):  # it is not remembered as a success
        with pytest.raises(StartupError) as raised:
            load(ModelOptions(model=str(original)), attempt=ABORTING)
        assert str(raised.value) == (
            "OpenVINO cannot run colours on this processor, where a process that tried was ended by SIGABRT; colours, "
            "from which it was compiled, is not here to answer instead, so please serve another model or use another "
            "machine."
        )


def test_a_child_process_that_fails_leaves_the_message_to_the_site(forgetful, own):
    with (own / "model.bin").open("ab") as file:
        file.write(b" ")
    with pytest.raises(StartupError, match="is not the file that was written"):
        load(ModelOptions(model=str(own)))


def test_a_network_of_one_layer_has_no_heat_maps(model):
    with pytest.raises(NotExplainable, match="no feature map"):
        model.explain(PIXELS[0], 1)


def test_it_never_runs_on_a_gpu(original):
    with pytest.raises(StartupError, match=r"^CLASSIFIER_DEVICE=gpu is not possible here"):
        load(ModelOptions(model=str(original), device="gpu"))


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_network_that_is_not_what_was_written(own, name):
    with (own / name).open("ab") as file:
        file.write(b" ")
    assert "model.xml or model.bin is not the file that was written with model.json" in refused(own)


@pytest.mark.parametrize("name", ["model.json", "model.bin"])
def test_a_file_that_is_not_there(own, name):
    (own / name).unlink()
    assert "it has no readable model" in refused(own)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": COLOURS[:2]}, "expects u8[?,32,32,3] -> f32[?,2], and the network is u8[?,32,32,3] -> f32[?,3]"),
        ({"size": [64, 32]}, "expects u8[?,64,32,3]"),
        ({"wnids": ["n1"]}, "expected a WordNet ID for each of 3 labels, found 1"),
        ({"compiled": None}, "its model.json was written for another kind of network"),
        ({"compiled": {"precision": "int4", "source": "a", "weights": "b"}}, "expected compiled to be an object"),
    ],
)
def test_a_card_that_does_not_fit(own, changes, reason):
    card = json.loads((own / "model.json").read_text())
    (own / "model.json").write_text(json.dumps(card | changes))
    assert reason in refused(own)


def test_a_folder_that_is_not_there_is_the_reason_even_without_a_back_end(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "none")
    assert "it has no readable model.json" in refused(tmp_path / "nowhere")


def test_a_graph_that_openvino_cannot_read(own):
    (own / "model.xml").write_text("<net></net>")
    card = json.loads((own / "model.json").read_text())
    (own / "model.json").write_text(json.dumps(card | {"sha256": folder.network_digest(own)}))
    assert "OpenVINO cannot read model.xml" in refused(own)


def test_a_compiled_folder_takes_the_place_of_another_one(own):
    with folder.replaced(own) as part:
        compilation = folder.Compilation(precision="bfloat16", source="colours", weights="imagenet")
        compiled.write(part, colours_graph(), folder.ModelCard(labels=COLOURS, size=(SIDE, SIDE)), compilation)
    card = folder.read_card(own)
    assert card.compiled == compilation
    assert card.versions.keys() == {"python", "openvino"}
    assert sorted(path.name for path in own.iterdir()) == ["model.bin", "model.json", "model.xml"]
