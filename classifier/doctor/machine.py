"""The machine: processor, memory, disk and network."""

import os
import platform
import re
import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from classifier.text import one_line, quantity

# What speeds up reduced precision, by the flags of /proc/cpuinfo on x86 and Arm.
FEATURES = {
    "VNNI": {"avx512_vnni", "avx_vnni", "asimddp"},
    "BF16": {"avx512_bf16", "bf16"},
    "AMX": {"amx_tile"},
}
CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
WEIGHTS_HOST = "https://storage.googleapis.com"  # Keras downloads weights from there
ANSWERS_WITHIN_S = 5
GB = 1e9


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the processor's name, its number of cores, and which of FEATURES it has."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*: (.+)", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", text, re.M)
    has = set(flags[1].split()) if flags else set()
    features = ", ".join(feature if has & names else f"no {feature}" for feature, names in FEATURES.items())
    return f"{name[1] if name else platform.machine()}, {quantity(cores(), 'core')}; {features if flags else 'unknown'}"


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
