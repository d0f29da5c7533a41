"""The processor's instructions for reduced precision."""

import platform
import re
from pathlib import Path

# By the flags of /proc/cpuinfo on x86 and Arm.
FEATURES = {
    "VNNI": {"avx512_vnni", "avx_vnni", "asimddp"},
    "BF16": {"avx512_bf16", "bf16"},
    "AMX": {"amx_tile"},
}
CPUINFO = Path("/proc/cpuinfo")


def features(cpuinfo: Path = CPUINFO) -> set[str] | None:
    """Return which of FEATURES the processor has, None if the system does not list them."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", text, re.M)
    has = set(flags[1].split()) if flags else None
    return None if has is None else {feature for feature, names in FEATURES.items() if has & names}


def identity(cpuinfo: Path = CPUINFO) -> str:
    """Return what tells one kind of processor from another: the name of the first and its flags."""
    text = cpuinfo.read_text() if cpuinfo.exists() else platform.machine()
    return (
        "\n".join(re.findall(r"^(?:model name|CPU part|flags|Features)\s*: .+", text.partition("\n\n")[0], re.M))
        or text
    )
