"""How much memory a compiled model takes while it answers.

`python -m classifier.compiling.footprint FOLDER` prints it, in MB.
"""

import sys
from pathlib import Path

import numpy as np

from classifier.contract import ServedModel
from classifier.errors import Unproven
from classifier.models import compiled, trial

MEASURE = (sys.executable, "-m", "classifier.compiling.footprint")
STATUS = Path("/proc/self/status")
BATCH = 8  # photos


def of_compiled(folder: Path) -> float | None:
    """Return how many MB a process takes that serves a compiled folder, None if that cannot be measured."""
    try:
        return float(trial.printed([*MEASURE, str(folder.absolute())], trial.LIMIT_S))
    except (Unproven, ValueError):
        return None


def of_this_process(model: ServedModel) -> float | None:
    """Return how many MB this process takes once a model has answered, None if that cannot be measured."""
    model(np.zeros((BATCH, *model.info.size, 3), np.uint8))
    if not STATUS.exists():
        return None
    resident = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(resident.split()[1]) * 1024 / 1e6, 1)


if __name__ == "__main__":
    print(of_this_process(compiled.read(Path(sys.argv[1]))))
