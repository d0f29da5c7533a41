"""The back end is chosen by card and driver, before anything is installed."""

import subprocess
import sys
import tomllib

import pytest
from support import cards

from classifier.nvidia import parsed
from scripts.choose_backend import choose, without_conflict
from web.settings import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SCRIPT = ROOT / "scripts" / "choose_backend.py"
V100, T4 = "Tesla V100, 7.0, 580.65.06", "Tesla T4, 7.5, 525.60.13"
RTX_5090_OLD = cards.RTX_5090.replace("580.95.05", "570.86.15")


@pytest.mark.parametrize(
    ("lines", "wish", "machine", "backend", "extra"),
    [
        ([], "", "x86_64", "tensorflow", "cpu"),
        ([], "jax", "x86_64", "jax", "jax"),
        ([], "tensorflow", "x86_64", "tensorflow", "cpu"),
        ([T4], "", "x86_64", "tensorflow", "gpu"),
        ([T4.replace("60.13", "60.11")], "", "x86_64", "tensorflow", "cpu"),
        ([T4.replace("60.13", "60.11")], "jax", "x86_64", "jax", "jax"),
        ([V100], "", "x86_64", "tensorflow", "cpu"),
        ([V100], "jax", "x86_64", "jax", "jax"),
        ([V100, cards.RTX_5090], "", "x86_64", "jax", "jax-cuda12"),
        ([cards.H200], "", "x86_64", "tensorflow", "gpu"),
        ([cards.H200], "cpu", "x86_64", "tensorflow", "cpu"),
        ([cards.H200], "jax", "x86_64", "jax", "jax-cuda12"),
        ([cards.H200.replace("570.86.15", "580.65.06")], "jax", "x86_64", "jax", "jax-cuda13"),
        ([cards.H200.replace("570.86.15", "580.65.05")], "jax", "x86_64", "jax", "jax-cuda12"),
        ([cards.H200], "", "aarch64", "jax", "jax-cuda12"),
        ([cards.RTX_5090], "", "x86_64", "jax", "jax-cuda13"),
        ([RTX_5090_OLD], "", "x86_64", "jax", "jax-cuda12"),
        ([cards.RTX_5090], "tensorflow", "x86_64", "tensorflow", "gpu"),
        ([cards.H200, cards.RTX_5090], "", "x86_64", "jax", "jax-cuda12"),
    ],
)
def test_card_driver_and_wish_decide(lines, wish, machine, backend, extra):
    choice = choose([card for line in lines if (card := parsed(line))], wish, machine)
    assert (choice.backend, choice.extra) == (backend, extra)
    assert extra in EXTRAS


@pytest.mark.parametrize(
    ("lines", "present", "extra", "conflict"),
    [
        ([], [], "cpu", ""),
        ([], ["tensorflow-cpu"], "cpu", ""),
        ([], ["tensorflow"], "tensorflow", ""),  # serves a CPU as well
        ([cards.H200], ["tensorflow"], "gpu", ""),
        ([cards.H200], ["tensorflow-cpu"], "gpu", "tensorflow-cpu"),
        ([cards.RTX_5090], ["tensorflow-cpu"], "jax-cuda13", ""),
    ],
)
def test_one_tensorflow_is_installed_at_most(lines, present, extra, conflict):
    assert without_conflict(choose([parsed(line) for line in lines], "", "x86_64"), present) == (extra, conflict)
    assert extra in EXTRAS


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (V100, "as Tesla V100 has capability 7.0, and cuDNN needs 7.5"),
        (T4.replace("60.13", "60.11"), "as driver 525.60.11 is older than 525.60.13, which CUDA 12 needs"),
    ],
)
def test_why_a_card_is_not_used_is_said(line, reason):
    assert choose([parsed(line)], "", "x86_64").reason == reason


def called(environment, *arguments):
    """Run Python with nothing but the standard library, as in an environment that was just made."""
    return subprocess.run([environment / "bin" / "python", *arguments], cwd=ROOT, capture_output=True, text=True)


def backend_in(environment):
    return called(environment, "-c", "from classifier import installed; print(installed.backend())").stdout.strip()


@pytest.fixture
def environment(monkeypatch, tmp_path):
    cards.pretend(monkeypatch, tmp_path, cards.RTX_5090)
    monkeypatch.delenv("KERAS_BACKEND")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    return tmp_path / "env"


def test_the_choice_is_explained_and_noted_for_the_site(environment, monkeypatch):
    done = called(environment, SCRIPT)
    assert done.stdout == "jax-cuda13\n"
    assert done.stderr == (
        "Back end: jax (jax-cuda13), for NVIDIA GeForce RTX 5090 (capability 12.0, driver 580.95.05). "
        "BACKEND= overrides.\n"
    )
    assert backend_in(environment) == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend_in(environment) == "torch"


def test_a_wish_that_is_unknown_is_refused(environment):
    done = called(environment, SCRIPT, "--wish", "cuda")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "BACKEND must be tensorflow, jax or cpu, not 'cuda'.\n"


@pytest.mark.parametrize(
    ("content", "backend"),
    [
        ("", "tensorflow"),
        ("{", "tensorflow"),
        ('{"backend": "nothing"}', "tensorflow"),
        ('{"backend": "torch"}', "tensorflow"),  # which is not installed
        ('{"backend": "jax"}', "jax"),
    ],
)
def test_without_a_choice_keras_own_configuration_counts(environment, monkeypatch, tmp_path, content, backend):
    for module in ("jax", "tensorflow"):
        (tmp_path / f"{module}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(content)
    assert backend_in(environment) == backend


def test_without_anything_an_installed_back_end_is_used(environment, monkeypatch, tmp_path):
    (tmp_path / "jax.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert backend_in(environment) == "jax"
