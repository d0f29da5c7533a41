"""Which device answers: a GPU only if a child process has computed the right numbers on it."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from classifier import installed, nvidia
from classifier.atomic import writing
from classifier.errors import Unproven
from classifier.models import trial
from classifier.models.trial import Proof
from classifier.nvidia import Card
from classifier.options import Device, Precision

log = logging.getLogger(__name__)

HIDING = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}
UNNAMED = "The graphics card"  # where nvidia-smi does not name it

Run = Callable[[Precision], Proof]  # raises Unproven with the end of a sentence about the test computation


@cache  # for a process: once a back end has seen its devices, nothing hides or shows them
def settle(device: Device, precision: Precision, run: Run = trial.run) -> str:
    """Hide the GPU from the back end unless it may answer; return why it does not, "" if that needs no explanation.

    Must be called before the back end is imported. `run` runs the test computation in a child process.
    Raises Unproven if `device` is `gpu` and the GPU may not answer.
    """
    if device == "cpu":
        hide()
        return ""
    cards = nvidia.cards()
    if device == "auto" and not is_expected(cards):
        return ""
    try:
        prove_or_remember(precision, cards, run)
        return ""
    except Unproven as error:
        if device == "gpu":
            raise refusal(error) from error
        log.warning("%s", error)
        hide()
        return str(error)


def refusal(error: Unproven) -> Unproven:
    """Return the error of a site that may only answer on the GPU."""
    return Unproven(f"CLASSIFIER_DEVICE=gpu is not possible here. {error}")


def is_expected(cards: Sequence[Card]) -> bool:
    """Return True if this machine seems to have a GPU that the back end may use."""
    backend = installed.backend()
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", HIDING["CUDA_VISIBLE_DEVICES"])
    if is_hidden or (backend == "jax" and os.environ.get("JAX_PLATFORMS") == "cpu"):
        return False
    return bool(cards) or nvidia.DEVICE_FILE.exists()


def hide() -> None:
    """Hide GPUs from the back end of this process and of those that it starts."""
    os.environ.update(HIDING)
    if "jax" in sys.modules:  # it has read its variable already
        sys.modules["jax"].config.update("jax_platforms", HIDING["JAX_PLATFORMS"])


def prove_or_remember(precision: Precision, cards: Sequence[Card], run: Run = trial.run) -> Proof:
    """Return the proof of the card, from an earlier start with the same card, driver and versions if there was one.

    Raises Unproven. A failure is not remembered, so that the next start notices what was mended.
    """
    return Memory().recall(precision, identity(precision, cards)) or prove_again(precision, cards, run)


def prove_again(precision: Precision, cards: Sequence[Card], run: Run = trial.run) -> Proof:
    """Return a fresh proof of the card, and remember it, or forget an earlier one. Raises Unproven."""
    memory = Memory()
    try:
        proof = prove(precision, cards, run)
    except Unproven:
        memory.forget(precision)
        raise
    memory.keep(precision, identity(precision, cards), proof)
    return proof


def prove(precision: Precision, cards: Sequence[Card], run: Run = trial.run) -> Proof:
    """Return the proof that the GPU computes right numbers. Raises Unproven: why it does not, and what may mend it."""
    name = cards[0].name if cards else UNNAMED
    computation = f"a test computation with {installed.backend_version()}"
    try:
        proof = run(precision)
    except Unproven as error:
        raise Unproven(f"{name} is not used: {computation} {error}; {remedy(cards)}.") from error
    if not proof.device.startswith("GPU"):
        raise Unproven(f"{name} is not used: {proof.backend} does not find it; {remedy(cards)}.")
    if not proof.proven:
        raise Unproven(f"{name} is not used: {computation} gave wrong numbers in {proof.precision}; {remedy(cards)}.")
    return proof


def remedy(cards: Sequence[Card]) -> str:
    """Return what would probably mend a card that cannot be used."""
    is_new = any(nvidia.numbers(card.capability) >= nvidia.NEW_FOR_TENSORFLOW for card in cards)
    if is_new and installed.backend() == "tensorflow":
        return "`make install BACKEND=jax` installs a back end that supports it"
    return "`.venv/bin/python -m classifier doctor` shows what to mend"


def identity(precision: Precision, cards: Sequence[Card]) -> dict[str, Any]:
    """Return everything that a proof depends on."""
    chosen = {name: os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "XLA_FLAGS")}
    listed = [list(card) for card in cards]
    return {"cards": listed, "backend": installed.backend(), "precision": precision, **chosen, **installed.versions()}


class Memory:
    """The last proof in each precision, in a file beside Keras' downloads."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or installed.keras_home() / "classifier" / "proofs.json"

    def recall(self, precision: Precision, facts: dict[str, Any]) -> Proof | None:
        """Return the proof that was kept with the same facts."""
        try:
            kept = self._read()[precision]
            return Proof(**kept["proof"]) if kept["facts"] == facts else None
        except (KeyError, TypeError, ValidationError):  # it was written by another version
            return None

    def keep(self, precision: Precision, facts: dict[str, Any], proof: Proof) -> None:
        """Keep a proof; where that is not possible, the next start computes it again."""
        self._write({**self._read(), precision: {"facts": facts, "proof": proof.model_dump()}})

    def forget(self, precision: Precision) -> None:
        """Drop the proof that was kept, if there is one."""
        kept = self._read()
        if kept.pop(precision, None):
            self._write(kept)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self, kept: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with writing(self._path) as part:
                part.write_text(json.dumps(kept, indent=1), "utf-8")
        except OSError as exc:
            log.info("The proof of the graphics card is not kept (%s).", exc)
