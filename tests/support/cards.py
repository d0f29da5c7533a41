"""Machines that seem to have a graphics card: a fake nvidia-smi, and children in place of the test computation."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from classifier.models import trial
from classifier.models.device import HIDING

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


def child(code: str, limit_s: float = LIMIT_S) -> Callable[..., trial.Proof]:
    """Return a `run` whose child process executes this Python code."""
    return partial(trial.run, command=(sys.executable, "-c", code), limit_s=limit_s)


def printing(proof: trial.Proof) -> Callable[..., trial.Proof]:
    return child(f"print('a line before it'); print({proof.model_dump_json()!r})")


def aborting() -> Callable[..., trial.Proof]:
    return child("import os; os.abort()")


def hanging() -> Callable[..., trial.Proof]:
    return child("import signal; signal.pause()", limit_s=0.2)


def failing() -> Callable[..., trial.Proof]:
    return child("raise RuntimeError('CUDA_ERROR_INVALID_PTX')")


def silent() -> Callable[..., trial.Proof]:
    return child("print('nothing of use')")
