"""Machines that seem to have a graphics card: a fake nvidia-smi, and children in place of the test computation."""

import os
import sys
from functools import partial
from pathlib import Path

from classifier.models import trial
from classifier.models.device import HIDING, Run
from classifier.options import Precision

H200 = "NVIDIA H200, 9.0, 570.86.15"
RTX_5090 = "NVIDIA GeForce RTX 5090, 12.0, 580.95.05"
LIMIT_S = 60.0  # for children that end by themselves
PROOF = trial.Proof(
    backend="tensorflow 2.21.0", device="GPU (NVIDIA H200)", precision="float32", difference=0.001, tolerance=0.02,
    seconds=9,
)  # fmt: skip
WRONG = PROOF.model_copy(update={"difference": 1.3})
NOT_A_NUMBER = PROOF.model_copy(update={"difference": None})
ON_THE_CPU = PROOF.model_copy(update={"device": "CPU"})


def nvidia_smi(folder: Path, *lines: str, code: int = 0) -> Path:
    """Write a program that prints what nvidia-smi would; returns its folder, for PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + f"exit {code}\n")
    program.chmod(0o755)
    return folder


def pretend(monkeypatch, folder: Path, *lines: str, backend: str = "tensorflow") -> None:
    """Make this process believe in these cards, forget earlier proofs, and restore afterwards what it hides."""
    monkeypatch.setenv("PATH", str(nvidia_smi(folder / "bin", *lines)), prepend=":")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))
    for name in HIDING:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


def child(code: str, limit_s: float = LIMIT_S) -> Run:
    """Return a `run` whose child process executes this Python code, or computes rightly if the card is hidden."""

    def run(precision: Precision) -> trial.Proof:
        is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == HIDING["CUDA_VISIBLE_DEVICES"]
        chosen = (f"print({ON_THE_CPU.model_dump_json()!r})", LIMIT_S) if is_hidden else (code, limit_s)
        return trial.run(precision, command=(sys.executable, "-c", chosen[0]), limit_s=chosen[1])

    return run


def printing(proof: trial.Proof) -> Run:
    return child(f"print('a line before it'); print({proof.model_dump_json()!r})")


def aborting() -> Run:
    return child("import os; os.abort()")


def hanging() -> Run:
    return child("import signal; signal.pause()", limit_s=0.2)


def failing() -> Run:
    return child("raise RuntimeError('CUDA_ERROR_INVALID_PTX')")


def silent() -> Run:
    return child("print('nothing of use')")


def unusable() -> Run:
    """Return a `run` whose child is ended by a signal wherever it computes, like one that needs another processor."""
    return partial(trial.run, command=(sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGILL)"))
