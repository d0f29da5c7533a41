"""CUDA's libraries: which do not load, and which were loaded from elsewhere than the installed packages.

`python -m classifier.doctor.libraries` imports the back end, which loads them, and prints what is wrong, one JSON text.
"""

import ctypes
import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from classifier.errors import Unproven
from classifier.models import trial
from classifier.models.quick_start import import_keras
from classifier.text import one_line

INSPECT = (sys.executable, "-m", "classifier.doctor.libraries")
MAPS = Path("/proc/self/maps")
NVIDIA = re.compile("nvidia[-_]", re.IGNORECASE)  # the names of the packages
DRIVER = "libcuda.so.1"
LIBRARY = re.compile(r"lib(cu(?!file)\w+|nccl|nvJitLink|nvrtc)\.so\.\d+")  # what back ends use


def inspect() -> list[str]:
    """Return what is wrong with CUDA's libraries, one sentence each, as a child process finds it."""
    try:
        return list(json.loads(trial.printed(INSPECT, trial.LIMIT_S)))
    except Unproven as error:
        return [f"The inspection of CUDA's libraries {error}."]


def installed() -> list[Path]:
    """Return the CUDA libraries of the installed packages."""
    packages = (each for each in distributions() if NVIDIA.match(str(each.name)))
    files = (file for package in packages for file in package.files or ())
    return sorted({Path(str(file.locate())) for file in files if LIBRARY.fullmatch(file.name)})


def loaded(maps: Path = MAPS) -> list[Path]:
    """Return the shared libraries that this process has loaded."""
    paths = re.findall(r"^\S+ \S+ \S+ \S+ \S+ +(/.+\.so[.\d]*)$", maps.read_text() if maps.exists() else "", re.M)
    return [Path(path) for path in dict.fromkeys(paths)]


def problems(expected: Iterable[Path], present: Iterable[Path]) -> list[str]:
    """Return a sentence for each of the `expected` libraries that is not the one among `present`, or does not load."""
    by_name = {stem(path): path for path in present}
    found = []
    for path in expected:
        other = by_name.get(stem(path))
        if other and not other.samefile(path):
            found.append(f"{path.name} was loaded from {other} instead of {path}; check LD_LIBRARY_PATH.")
        elif not other and (error := load_error(str(path))):
            found.append(f"{path.name} does not load: {error}.")
    return found


def stem(path: Path) -> str:
    return path.name.partition(".so")[0]


def load_error(library: str) -> str:
    """Return why a library does not load, "" if it does."""
    try:
        ctypes.CDLL(library)
    except OSError as exc:
        return one_line(exc)
    return ""


def main() -> None:
    found = [f"The driver's {DRIVER} does not load: {error}."] if (error := load_error(DRIVER)) else []
    import_keras()
    from classifier.models import backend

    backend.device_name()  # which makes the back end load what it uses
    print(json.dumps([*found, *problems(installed(), loaded())]))


if __name__ == "__main__":
    main()
