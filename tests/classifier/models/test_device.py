"""A GPU answers only if a child process has computed the right numbers on it; otherwise one sentence says why not."""

import os
from functools import partial

import numpy as np
import pytest
from support import cards

from app import create_app
from classifier import nvidia
from classifier.errors import Unproven
from classifier.models import device, load
from classifier.models.device import HIDING, settle
from classifier.options import ModelOptions
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

START = "NVIDIA H200 is not used: "
COMPUTATION = START + "a test computation with "
DOCTOR = "`.venv/bin/python -m classifier doctor` shows what to mend."
FAILURES = {
    "aborts": (cards.aborting, COMPUTATION, " was ended by SIGABRT; "),
    "hangs": (cards.hanging, COMPUTATION, " did not end within 0.2 s; "),
    "fails": (cards.failing, COMPUTATION, " failed (RuntimeError: CUDA_ERROR_INVALID_PTX); "),
    "prints nothing of use": (cards.silent, COMPUTATION, " printed no result (nothing of use); "),
    "is wrong": (partial(cards.printing, cards.WRONG), COMPUTATION, " gave wrong numbers in float32; "),
    "computes no number": (
        partial(cards.printing, cards.NOT_A_NUMBER),
        COMPUTATION,
        " gave wrong numbers in float32; ",
    ),
    "runs on the CPU": (partial(cards.printing, cards.ON_THE_CPU), START, " does not find it; "),
}
each_failure = pytest.mark.parametrize(("make_run", "start", "why"), FAILURES.values(), ids=FAILURES)


def unexpected():
    """Return a `run` that must not be called."""

    def run(precision):
        raise AssertionError("The test computation must not be started here.")

    return run


def hidden():
    return {name: os.environ.get(name) for name in HIDING} == HIDING


@each_failure
def test_a_card_that_is_not_proven_is_hidden_with_a_reason(h200, caplog, make_run, start, why):
    reason = settle("auto", "float32", make_run())
    assert reason.startswith(start)
    assert reason.endswith(why + DOCTOR)
    assert reason in caplog.messages
    assert hidden()


@each_failure
def test_gpu_refuses_to_start_with_the_same_reason(h200, make_run, start, why):
    with pytest.raises(Unproven, match=r"^CLASSIFIER_DEVICE=gpu is not possible here\. NVIDIA H200") as refusal:
        settle("gpu", "float32", make_run())
    assert str(refusal.value).endswith(why + DOCTOR)


@pytest.mark.parametrize("wanted", ["auto", "gpu"])
def test_a_proven_card_needs_no_explanation(h200, wanted):
    assert settle(wanted, "float32", cards.printing(cards.PROOF)) == ""
    assert not hidden()


def test_cpu_hides_the_card_without_trying_it(h200):
    assert settle("cpu", "float32", unexpected()) == ""
    assert hidden()


def test_a_machine_without_a_card_pays_nothing(no_card):
    assert settle("auto", "float32", unexpected()) == ""
    assert not hidden()


def test_gpu_refuses_to_start_without_a_card(no_card):
    with pytest.raises(Unproven, match=r"is not possible here\. The graphics card is not used: "):
        settle("gpu", "float32", cards.printing(cards.ON_THE_CPU))


@pytest.mark.parametrize(
    ("backend", "name", "value"),
    [
        ("tensorflow", "CUDA_VISIBLE_DEVICES", "-1"),
        ("torch", "CUDA_VISIBLE_DEVICES", ""),
        ("jax", "JAX_PLATFORMS", "cpu"),
    ],
)
def test_a_card_that_is_hidden_is_not_tried(h200, monkeypatch, backend, name, value):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv(name, value)
    assert settle("auto", "float32", unexpected()) == ""


def test_a_card_that_is_hidden_from_another_back_end_is_tried(h200, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "was ended by SIGABRT" in settle("auto", "float32", cards.aborting())


def test_a_back_end_that_cannot_support_a_new_card_names_the_one_that_can(monkeypatch, tmp_path):
    cards.pretend(monkeypatch, tmp_path, cards.RTX_5090)
    reason = settle("auto", "float32", cards.aborting())
    assert reason.startswith("NVIDIA GeForce RTX 5090 is not used: ")
    assert reason.endswith("`make install BACKEND=jax` installs a back end that supports it.")


def test_a_proof_is_remembered(h200):
    settle("auto", "float32", cards.printing(cards.PROOF))
    assert settle("auto", "float32", unexpected()) == ""


@pytest.mark.parametrize("change", ["precision", "driver", "LD_LIBRARY_PATH", "KERAS_BACKEND"])
def test_a_proof_is_forgotten_when_something_changes(h200, monkeypatch, tmp_path, change):
    settle("auto", "float32", cards.printing(cards.PROOF))
    if change == "driver":
        other = cards.nvidia_smi(tmp_path / "other", cards.H200.replace("570", "575"))
        monkeypatch.setenv("PATH", str(other), prepend=":")
    elif change != "precision":
        monkeypatch.setenv(change, {"KERAS_BACKEND": "jax", "LD_LIBRARY_PATH": "/opt/cuda/lib64"}[change])
    reason = settle("auto", "float16" if change == "precision" else "float32", cards.aborting())
    assert "was ended by SIGABRT" in reason


def test_a_failure_is_not_remembered(h200, monkeypatch):
    settle("auto", "float32", cards.aborting())
    for name in HIDING:
        monkeypatch.delenv(name)
    assert settle("auto", "float32", cards.printing(cards.PROOF)) == ""


def test_what_was_decided_holds_for_the_process(h200):
    run = cards.aborting()
    assert settle("auto", "float32", run) == settle("auto", "float32", run) != ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"float32": 1}', '{"float32": {"facts": {"cards": []}, "proof": {}}}']
)
def test_a_memory_that_is_damaged_counts_as_empty(tmp_path, content):
    path = tmp_path / "proofs.json"
    path.write_text(content)
    memory = device.Memory(path)
    assert memory.recall("float32", {"cards": []}) is None
    memory.keep("float32", {"cards": []}, cards.PROOF)
    assert memory.recall("float32", {"cards": []}) == cards.PROOF


def test_a_memory_that_cannot_be_written_is_no_fault(tmp_path):
    (tmp_path / "file").write_text("")
    device.Memory(tmp_path / "file" / "proofs.json").keep("float32", {}, cards.PROOF)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([cards.H200], [("NVIDIA H200", "9.0", "570.86.15")]),
        (["NVIDIA A, B, 8.6, 535.05"], [("NVIDIA A, B", "8.6", "535.05")]),
        (["Tesla K80, [N/A], 470.1", "No devices were found", ""], []),
    ],
)
def test_nvidia_smi_is_read(tmp_path, lines, found):
    program = cards.nvidia_smi(tmp_path / "bin", *lines) / "nvidia-smi"
    assert nvidia.cards((str(program),)) == found


def test_nvidia_smi_that_fails_or_is_missing_lists_nothing(tmp_path):
    program = cards.nvidia_smi(tmp_path / "bin", cards.H200, code=9) / "nvidia-smi"
    assert nvidia.cards((str(program),)) == []
    assert nvidia.cards((str(tmp_path / "nothing"),)) == []


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    from support.model_folders import write_colours

    return write_colours(tmp_path_factory.mktemp("models") / "colours")


@pytest.mark.tensorflow
@each_failure
def test_the_site_answers_on_the_cpu_and_says_why(h200, own, tmp_path, make_run, start, why):
    model = load(ModelOptions(model=str(own)), make_run())
    folder = tmp_path / "uploads"
    engine = LocalEngine(model)
    client = create_app(engine, Settings(uploads=folder), KeptResults(folder)).test_client()
    footer = client.get("/").text.partition("<footer")[2]
    ready = client.get("/readyz").json
    engine.close()
    assert ready["device"] == "CPU"
    assert ready["device_reason"].startswith(start)
    assert why.strip() in footer
    assert "on CPU, float32." in footer
    assert "GPU" not in footer


@pytest.mark.tensorflow
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_numpy_agrees_with_keras_within_a_third_of_the_tolerance(precision):
    from classifier.models.proof import TOLERANCES, prove

    proof = prove(precision)
    assert proof.proven
    assert proof.difference < TOLERANCES[precision] / 3


@pytest.mark.tensorflow
def test_a_device_that_leaves_out_a_part_is_wrong():
    from classifier.models import proof

    network = proof.build("float32")
    weights = [np.asarray(each, np.float64) for each in network.get_weights()]
    images = np.zeros((1, proof.SIDE, proof.SIDE, proof.CHANNELS), np.uint8)
    right = proof.expected(images, weights)
    weights[0][1, 1] = 0
    assert np.abs(proof.expected(images, weights) - right).max() / right.std() > max(proof.TOLERANCES.values())
