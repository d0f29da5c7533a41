"""A compiled network runs in a child process first, because OpenVINO has crashed on some processors."""

import hashlib
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classifier import installed
from classifier.contract import ServedModel
from classifier.errors import Unproven
from classifier.models import compiled, processor, trial

log = logging.getLogger(__name__)

TRY = (sys.executable, "-c", "from classifier.models import compiled_trial; compiled_trial.main()")
STATUS = Path("/proc/self/status")
BATCH = 8  # photos

Attempt = Callable[[Path], float | None]  # raises Unproven


def settle(folder: Path, attempt: Attempt) -> None:
    """Attempt to run a compiled folder unless it has run on this processor before.

    Raises StartupError for a folder that cannot be read, and Unproven, a subclass, with the end of a sentence, for one
    whose process crashes or hangs.
    """
    if not proof_of(folder).is_file():
        prove(folder, attempt)


def prove(folder: Path, attempt: Attempt) -> float | None:
    """Attempt to run a compiled folder, remember that it ran, and return how many MB that took. Raises as `settle`."""
    megabytes = attempt(folder)
    if megabytes is not None:
        remember(proof_of(folder))
    return megabytes


def attempt(folder: Path, command: Sequence[str] = TRY) -> float | None:
    """Return how many MB a child process takes that answers with a folder, None if it ends with an error.

    Raises Unproven, with the end of a sentence, if it is ended by a signal or does not end in time.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = trial.exit_code([*command, str(folder.absolute())], out, err, trial.LIMIT_S)
        line = trial.last_line(out)
    if code < 0:
        raise Unproven(f"was ended by {signal.Signals(-code).name}")
    return None if code else float(line)


def proof_of(folder: Path) -> Path:
    """Return the file that stands for a run of this network on this processor with this OpenVINO."""
    facts = [compiled.read_card(folder)[0].sha256, installed.distribution_version("openvino"), processor.identity()]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return installed.keras_home() / "classifier" / "compiled" / name


def remember(proof: Path) -> None:
    """Keep a proof; where that is not possible, the next start tries again."""
    try:
        proof.parent.mkdir(parents=True, exist_ok=True)
        proof.touch()
    except OSError as exc:
        log.info("That the compiled model runs here is not remembered (%s).", exc)


def footprint(model: ServedModel) -> float | None:
    """Return how many MB this process takes once a model has answered a batch, None if that cannot be measured."""
    model(np.zeros((BATCH, *model.info.size, 3), np.uint8))
    if not STATUS.exists():
        return None
    resident = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(resident.split()[1]) * 1024 / 1e6, 1)


def main() -> None:
    """Answer a batch with the folder that is the argument, and print the memory that this process takes, in MB."""
    print(footprint(compiled.read(Path(sys.argv[1]))) or 0)
