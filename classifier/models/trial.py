"""The test computation as a child process, because a back end that does not support its card may abort or hang."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from classifier.errors import Unproven
from classifier.options import Precision

ROOT = Path(__file__).resolve().parents[2]
PROVE = (sys.executable, "-m", "classifier.models.proof")
LIMIT_S = 120  # importing a back end from a cold disk and compiling for a card take up to a minute
LONGEST_MESSAGE = 200  # characters of what a back end prints


class Proof(BaseModel):
    """What a device computed in `seconds`; `difference` is None if it is no finite number."""

    model_config = ConfigDict(frozen=True)

    backend: str  # "jax 0.10.2"
    device: str
    precision: str
    difference: float | None
    tolerance: float
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def proven(self) -> bool:
        return self.difference is not None and self.difference <= self.tolerance


def run(precision: Precision, command: Sequence[str] = PROVE, limit_s: float = LIMIT_S) -> Proof:
    """Return the proof that a child process prints.

    Raises Unproven, with the end of a sentence about the test computation, as `printed` does.
    """
    line = printed([*command, "--precision", precision], limit_s)
    try:
        return Proof.model_validate_json(line)
    except ValidationError as exc:
        raise Unproven(f"printed no result ({line[:LONGEST_MESSAGE]})") from exc


def printed(command: Sequence[str], limit_s: float) -> str:
    """Return the last line that a child process prints.

    Raises Unproven, with the end of a sentence about it, if the child is ended by a signal, fails, or does not end in
    time.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = exit_code(command, out, err, limit_s)
        line, complaint = last_line(out), last_line(err)
    if code < 0:
        raise Unproven(f"was ended by {signal.Signals(-code).name}")
    if code:
        raise Unproven(f"failed ({complaint[:LONGEST_MESSAGE]})")
    return line


def exit_code(command: Sequence[str], out: IO[str], err: IO[str], limit_s: float) -> int:
    """Run a command and return its exit code, negative for a signal. Raises Unproven if it does not end in time."""
    with child(command, out, err) as process:
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired as exc:
            raise Unproven(f"did not end within {limit_s:g} s") from exc


@contextmanager
def child(command: Sequence[str], out: IO[str], err: IO[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process; with those it started, it is killed in the end, but not awaited if a driver holds it."""
    process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(1)


def last_line(file: IO[str]) -> str:
    file.seek(0)
    return next((line.strip() for line in reversed(file.readlines()) if line.strip()), "")
