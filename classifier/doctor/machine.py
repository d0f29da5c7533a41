"""The machine: processor, memory, disk and network."""

import os
import platform
import re
import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from classifier.models.processor import CPUINFO, FEATURES, features
from classifier.text import one_line, quantity

MEMINFO = Path("/proc/meminfo")
WEIGHTS_HOST = "https://storage.googleapis.com"  # Keras downloads weights from there
ANSWERS_WITHIN_S = 5
GB = 1e9


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the processor's name, its number of cores, and which of FEATURES it has."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*: (.+)", text, re.M)
    return f"{name[1] if name else platform.machine()}, {quantity(cores(), 'core')}; {listed(features(cpuinfo))}"


def listed(has: set[str] | None) -> str:
    """Return which instructions for reduced precision there are, and which are not."""
    if has is None:
        return "unknown"
    return ", ".join(feature if feature in has else f"no {feature}" for feature in FEATURES)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory(meminfo: Path = MEMINFO) -> str:
    """Return how much memory there is, and how much of it is available."""
    text = meminfo.read_text() if meminfo.exists() else ""
    kibibytes = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    try:
        total, available = (1024 * kibibytes[name] / GB for name in ("MemTotal", "MemAvailable"))
    except KeyError:
        return "unknown"
    return f"{total:.1f} GB, {available:.1f} GB available"


def free(path: Path) -> str:
    """Return how much space is left where `path` is, or will be."""
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return f"{shutil.disk_usage(existing).free / GB:.1f} GB free for {path}"


def network_error(url: str = WEIGHTS_HOST, timeout_s: float = ANSWERS_WITHIN_S) -> str:
    """Return why a server cannot be reached, "" if it answers."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=timeout_s).close()
    except HTTPError as answer:  # such as 400: there is no page, but the server answers
        answer.close()
    except OSError as exc:
        return one_line(exc)
    return ""
