"""The doctor says on one screen what was proven, and its exit code whether the site would start as configured."""

import re
from functools import partial

import pytest
from support import cards
from support.compiled_folders import write_compiled_colours

from classifier.cli import main
from classifier.doctor.report import examine
from classifier.options import ModelOptions

FAILURES = {
    "aborts": (cards.aborting, "was ended by SIGABRT"),
    "hangs": (cards.hanging, "did not end within 0.2 s"),
    "fails": (cards.failing, "failed (RuntimeError: CUDA_ERROR_INVALID_PTX)"),
    "is wrong": (partial(cards.printing, cards.WRONG), "gave wrong numbers in float32"),
    "runs on the CPU": (partial(cards.printing, cards.ON_THE_CPU), "does not find it"),
}
each_failure = pytest.mark.parametrize(("make_run", "why"), FAILURES.values(), ids=FAILURES)
OFFLINE = "Name or service not known"

pytestmark = pytest.mark.tensorflow


def examined(run=None, offline="", faults=(), fallback="", uploads="uploads", **options):
    """Return (the report's text, why the site would not start)."""
    options = ModelOptions(**{"weights": "random", **options})
    run = run or cards.printing(cards.PROOF)
    report = examine(options, fallback, uploads, run, lambda: list(faults), lambda: offline)
    text = report.as_text()
    assert len(text.splitlines()) < 24  # one screen
    return text, report.problem


def proven(text):
    return re.findall(r"^Proven +(.+)", text, re.M)


def test_a_card_that_computes_rightly_is_proven(h200):
    text, problem = examined()
    assert problem == ""
    assert proven(text) == ["GPU (NVIDIA H200) in float32 was off by 0.001, where 0.02 is right; 9.0 s"]
    assert "Graphics card NVIDIA H200, capability 9.0, driver 570.86.15\n" in text
    assert text.endswith("\nThe site would start as configured.")


@each_failure
def test_a_card_that_fails_leaves_the_cpu(h200, make_run, why):
    text, problem = examined(make_run())
    reason, cpu = proven(text)
    assert problem == ""
    assert why in reason
    assert cpu.startswith("CPU in float32 was off by ")


@each_failure
def test_a_card_that_fails_stops_a_site_that_needs_it(h200, make_run, why):
    text, problem = examined(make_run(), device="gpu")
    assert problem.startswith("CLASSIFIER_DEVICE=gpu is not possible here. NVIDIA H200 is not used: ")
    assert why in problem
    assert text.endswith(f"\nThe site would not start: {problem}")
    assert proven(text) == ["nothing"]


def test_an_earlier_proof_does_not_count(h200):
    examined()
    assert "was ended by SIGABRT" in proven(examined(cards.aborting())[0])[0]
    text, _ = examined(cards.printing(cards.PROOF), device="cpu")
    assert proven(text)[0].startswith("CPU in float32")


def test_without_a_card_the_cpu_is_proven(no_card):
    text, problem = examined(cards.printing(cards.ON_THE_CPU))
    assert problem == ""
    assert "Graphics card none\n" in text
    assert len(proven(text)) == 1


def test_a_back_end_that_fails_on_the_cpu_stops_the_site(no_card):
    assert re.fullmatch(
        r"A test computation with tensorflow \S+ on the CPU was ended by SIGILL\.", examined(cards.unusable())[1]
    )


def test_what_is_wrong_with_the_libraries_is_listed(h200):
    fault = "libcudnn.so.9 was loaded from /usr/lib/libcudnn.so.9 instead of another."
    assert fault in examined(faults=[fault])[0]


def test_a_card_that_is_hidden_is_named(h200, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    text, _ = examined(cards.printing(cards.ON_THE_CPU))
    assert "NVIDIA H200" in text
    assert "hidden by CUDA_VISIBLE_DEVICES" in text


def test_weights_that_are_nowhere_stop_the_site(no_card, tmp_path):
    text, problem = examined(offline=OFFLINE, weights="imagenet")
    assert problem.startswith(f"The weights of vgg16 are not in {tmp_path / 'keras' / 'models'}, and the internet ")
    assert f"cannot be reached ({OFFLINE})" in text


@pytest.mark.parametrize("way", ["network", "fallback", "cache", "file"])
def test_there_are_four_ways_to_weights(no_card, tmp_path, way):
    weights = tmp_path / "keras" / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    weights.parent.mkdir(parents=True)
    if way in ("cache", "file"):
        weights.touch()
    options = {"weights": str(weights) if way == "file" else "imagenet"}
    if way == "fallback":
        options["fallback"] = "efficientnet_lite2"
    assert examined(offline="" if way == "network" else OFFLINE, **options)[1] == ""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model": "vgg61"}, "The model 'vgg61' cannot be used"),
        ({"model": "/nothing/here"}, "/nothing/here"),
        ({"weights": "/nothing/here.h5"}, "The weights /nothing/here.h5 are not a file."),
        ({"labels": "/nothing/here.json"}, "The labels /nothing/here.json cannot be used"),
    ],
)
def test_a_model_that_is_not_there_stops_the_site(no_card, options, problem):
    assert problem in examined(**options)[1]


def test_a_compiled_folder_is_run(no_card, tmp_path):
    path = write_compiled_colours(tmp_path / "colours")
    text, problem = examined(cards.unusable(), model=str(path))
    assert problem == ""
    assert re.fullmatch(r"colours answers on OpenVINO in \d+ MB", proven(text)[0])
    assert re.search(r"^OpenVINO +20\d\d", text, re.M)


def test_a_compiled_folder_that_was_changed_stops_the_site(no_card, tmp_path):
    path = write_compiled_colours(tmp_path / "colours")
    (path / "model.bin").write_bytes(b"")
    assert "model.xml or model.bin is not the file that was written" in examined(model=str(path))[1]


def test_the_command_prints_the_report_and_its_exit_code_tells(h200, capsys):
    """With the real test computation, on a back end without CUDA."""
    arguments = ["doctor", "--weights", "random", "--uploads", "s3://bucket/prefix"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "does not find it" in proven(printed)[0]
    assert printed.endswith("\nThe site would start as configured.\n")
    assert re.search(r"libcuda.so.1 does not load: libcuda", printed)


def test_the_command_fails_if_the_site_would_not_start(no_card, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "none")
    assert main(["doctor", "--device", "cpu"]) == 1
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .startswith(
            "The site would not start: Keras' back end none is not installed, so this installation can only serve "
        )
    )
