"""How fast, and how right, the site is on a GPU: run by bench/gpu.sh, which also prepares it.

    python bench/gpu.py http OUT PHOTOS      the whole site, with one and with several web processes
    python bench/gpu.py speeds OUT PHOTOS    the model alone, in each precision, on every back end that is installed
    python bench/gpu.py compared OUT PHOTOS  its answers and heat maps, beside the CPU's

Writes what it finds to OUT as JSON, and prints a Markdown table for each. Speed is VGG16's, whose arithmetic is the
same with random weights; answers are compared with EfficientNet-Lite2's real weights, against float32 on the CPU.
MODEL= names another model to time, PROCESSES= and CLIENTS= other numbers ("1,8"), and TIMED_S= the time for each rate.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from serving import ROOT, Site, children, multipart, running

MODEL = os.environ.get("MODEL", "vgg16")
TIMED_S = float(os.environ.get("TIMED_S", "2"))
BATCHES = (1, 8, 32, 128)
CASES = [
    (backend, precision)
    for backend, precisions in {
        "jax": ("float32", "bfloat16", "float16"),
        "torch": ("bfloat16",),
        "tensorflow": ("float32", "float16"),
    }.items()
    for precision in precisions
    if find_spec(backend)
]
REAL = "efficientnet_lite2"
ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
PROCESSES = tuple(int(n) for n in os.environ.get("PROCESSES", "1,4,12").split(","))
CLIENTS = tuple(int(n) for n in os.environ.get("CLIENTS", "1,32,256").split(","))
ASKING = 4  # processes that ask, so that they do not share one interpreter


def speeds(out: Path, photos: Path) -> None:
    """Time the model alone, on each back end and in each precision."""
    heading("backend, precision", "device", *(f"batches of {size}" for size in BATCHES), "two at once", "loaded in s")
    found = []
    for backend, precision in CASES:
        got = child("speed", photos, backend, precision)
        found.append({"backend": backend, "precision": precision, **got})
        (out / "speeds.json").write_text(json.dumps(found, indent=1))
        rates = [f"{rate:,.0f}" for rate in (*got.get("rates", {}).values(), got.get("two_at_once", 0))]
        cells = [got["error"]] if "error" in got else [got["device"], *rates, f"{got['loaded_s']:.0f}"]
        print(f"| {backend}, {precision} | {' | '.join(cells)} |", flush=True)


def compared(out: Path, photos: Path) -> None:
    """Compare the answers and a heat map with the CPU's; all children at once, as none is timed."""
    names = ["first names as on the CPU", "largest difference", "heat map differs by", "heat map ms"]
    heading("backend, precision", *names)
    with ThreadPoolExecutor() as threads:
        reference = threads.submit(child, "answers", photos, CASES[0][0], environ=ON_CPU)
        asked = [(*case, threads.submit(child, "answers", photos, *case)) for case in CASES]
    for backend, precision, got in asked:
        failed = [part.result()["error"] for part in (got, reference) if "error" in part.result()]
        print(f"| {backend}, {precision} | {failed[0] if failed else row(got.result(), reference.result())} |")
    found = {f"{backend}, {precision}": got.result() for backend, precision, got in asked}
    (out / "answers.json").write_text(json.dumps({"cpu": reference.result(), **found}))


def row(real: dict[str, Any], reference: dict[str, Any]) -> str:
    names = sum(ours == theirs for ours, theirs in zip(real["names"], reference["names"], strict=True))
    differences = [f"{largest_difference(real[part], reference[part]):.1e}" for part in ("scores", "heat")]
    return " | ".join([f"{names} of {len(real['names'])}", *differences, f"{real['heat_ms']:.0f}"])


def largest_difference(ours: Any, theirs: Any) -> float:
    if isinstance(ours, list):
        return max(largest_difference(a, b) for a, b in zip(ours, theirs, strict=True))
    return abs(ours - theirs)


def child(kind: str, photos: Path, backend: str, precision: str = "float32", environ: Any = ()) -> dict[str, Any]:
    """Return what a process of its own found, as each backend takes the GPU for itself."""
    command = [sys.executable, __file__, kind, str(photos), precision]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path), **dict(environ)}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if not done.returncode else {"error": done.stderr.strip()[-300:].replace("\n", " ")}


def speed(photos: Path, precision: str) -> dict[str, Any]:
    """Photos per second of the model alone, from and to the host's memory."""
    started = time.monotonic()
    model = loaded(MODEL, "random", precision)
    loaded_s = time.monotonic() - started
    rates = {size: rate(model, size) for size in BATCHES}
    return {
        "device": model.info.device,
        "loaded_s": loaded_s,
        "rates": rates,
        "two_at_once": rate(model, BATCHES[-1], threads=2),
    }


def rate(model: Any, size: int, threads: int = 1) -> float:
    """Photos per second in batches of `size`, from each of `threads`."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (size, *model.info.size, 3), dtype=np.uint8)
    model(images)
    started = time.monotonic()
    runs: list[int] = []

    def run() -> None:
        while time.monotonic() < started + TIMED_S:
            model(images)
            runs.append(size)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(runs) / (time.monotonic() - started)


def answers(photos: Path, precision: str) -> dict[str, Any]:
    """Return the names, the probabilities and one heat map of real photos."""
    from classifier.photos import decode

    model = loaded(REAL, "imagenet", precision)
    shots = [decode.read_pixels(path.read_bytes(), model.info.size) for path in files(photos)]
    scores = [model(shot[None])[0].astype(float).tolist() for shot in shots]
    best = [max(range(len(row)), key=row.__getitem__) for row in scores]
    model.explain(shots[0], best[0])  # compiles
    started = time.monotonic()
    heat = model.explain(shots[0], best[0]).astype(float).tolist()
    heat_ms = 1000 * (time.monotonic() - started)
    return {"names": [model.info.labels[i].name for i in best], "scores": scores, "heat": heat, "heat_ms": heat_ms}


def loaded(name: str, weights: str, precision: str) -> Any:
    """Return a model that compiles each batch size when it first comes, as few of them are timed."""
    from classifier.models.loading import load
    from classifier.options import ModelOptions

    return load(ModelOptions(model=name, weights=weights, precision=precision), warm=False)


def http(out: Path, photos: Path) -> None:
    """Time the whole site over loopback, with clients that ask again as soon as they are answered."""
    rates = ["clients", "photos/s", "p50 ms", "p99 ms", "refused", "failed"]
    heading("web processes", "ready in s", *rates, "site's cores", "site's memory MB", "GPU memory")
    found = []
    for processes in PROCESSES:
        with (
            TemporaryDirectory() as uploads,
            (out / f"site-{processes}.log").open("wb") as log,
            running(environment(processes, uploads), log) as site,
        ):
            asked(site.host, site.port, 8, photos)  # every web process has answered once
            for clients in CLIENTS:
                found.append({"processes": processes, **measured(site, clients, photos)})
                (out / "http.json").write_text(json.dumps(found, indent=1))
                print(line(found[-1]), flush=True)


def measured(site: Site, clients: int, photos: Path) -> dict[str, Any]:
    """Return what `clients` saw, and what the site took for it."""
    before = cpu_s(site.master.pid)
    got = asked(site.host, site.port, clients, photos)
    cores = (cpu_s(site.master.pid) - before) / got["seconds"]
    return got | {
        "ready_s": site.started_in_s,
        "cores": cores,
        "mb": memory_mb(site.master.pid),
        "gpu": gpu_memory(),
    }


def environment(processes: int, uploads: str) -> dict[str, str]:
    """Return the site's settings: a model of random weights, and results that are not kept."""
    return {
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", CASES[0][0]),
        "CLASSIFIER_MODEL": MODEL,
        "CLASSIFIER_WEIGHTS": "random",
        "CLASSIFIER_PRECISION": os.environ.get("PRECISION", "bfloat16"),
        "CLASSIFIER_UPLOADS": uploads,
        "CLASSIFIER_KEEP_HOURS": "0",
        "WEB_CONCURRENCY": str(processes),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def line(got: dict[str, Any]) -> str:
    rates = [f"{got[name]:,.0f}" for name in ("ready_s", "clients", "rate", "p50_ms", "p99_ms", "refused", "failed")]
    cells = [str(got["processes"]), *rates, f"{got['cores']:.1f}", f"{got['mb']:,.0f}", got["gpu"]]
    return f"| {' | '.join(cells)} |"


def heading(*names: str) -> None:
    print(f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|", flush=True)


def asked(host: str, port: int, clients: int, photos: Path) -> dict[str, Any]:
    """Return the rate and the latencies that `clients` saw together."""
    shares = [clients // ASKING + (i < clients % ASKING) for i in range(ASKING)]
    command = [sys.executable, __file__, "ask", str(photos), host, str(port)]
    children = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in shares if n]
    rows = [row for child in children for row in json.loads(child.communicate()[0])]
    good = sorted(seconds for status, seconds in rows if status == 200) or [float("nan")]
    return {
        "clients": clients,
        "seconds": 3 * TIMED_S,
        "rate": len(good) / (3 * TIMED_S),
        "p50_ms": 1000 * good[len(good) // 2],
        "p99_ms": 1000 * good[int(len(good) * 0.99)],
        "refused": sum(status == 503 for status, _ in rows),
        "failed": sum(status not in (200, 503) for status, _ in rows),
    }


def ask(photos: Path, host: str, port: str, clients: str) -> list[tuple[int, float]]:
    """Ask from many threads for a while; return the status and the seconds of each request."""
    requests = [request(path.read_bytes()) for path in files(photos)]
    rows: list[tuple[int, float]] = []
    until = time.monotonic() + 3 * TIMED_S

    def one(first: int) -> None:
        turn = first
        with (
            socket.create_connection((host, int(port)), timeout=60) as connection,
            connection.makefile("rb") as replies,
        ):
            while (started := time.monotonic()) < until:
                turn += 1
                connection.sendall(requests[turn % len(requests)])
                rows.append((status(replies), time.monotonic() - started))

    def one_again_and_again(first: int) -> None:
        while time.monotonic() < until:
            with suppress(OSError, ValueError, IndexError):
                one(first)
                continue
            rows.append((0, 0.0))

    threads = [threading.Thread(target=one_again_and_again, args=(7 * i,)) for i in range(int(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows


def request(photo: bytes) -> bytes:
    """Return a whole request, made once: the clients share the processor with the site."""
    body, headers = multipart("fileImage", photo)
    lines = ["POST / HTTP/1.1", "Host: localhost", "Accept: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body


def status(replies: Any) -> int:
    """Read one response and return its status."""
    code, length = int(replies.readline().split()[1]), 0
    while (line := replies.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    replies.read(length)
    return code


def files(photos: Path) -> list[Path]:
    return sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def family(pid: int) -> list[int]:
    return [pid, *(member for child in children(pid) for member in family(child))]


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and its descendants, in seconds."""
    fields = [Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split() for member in family(pid)]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the memory of a process and its descendants, in MB; what they share counts once."""
    rollups = [Path(f"/proc/{member}/smaps_rollup").read_text() for member in family(pid)]
    return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups) / 1000


def gpu_memory() -> str:
    if not shutil.which("nvidia-smi"):
        return "-"
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader"]
    return subprocess.run(query, text=True, capture_output=True).stdout.strip()


if __name__ == "__main__":
    kind, first, *rest = sys.argv[1:]
    if kind in ("http", "speeds", "compared"):
        Path(first).mkdir(parents=True, exist_ok=True)
        {"http": http, "speeds": speeds, "compared": compared}[kind](Path(first), Path(rest[0]))
    else:  # in one of the processes that these start
        print(json.dumps({"speed": speed, "answers": answers, "ask": ask}[kind](Path(first), *rest)))
