"""Our site beside the bare engine and its peers, in one interleaved run: `make bench`.

`python bench/compare.py 'this site' 'this site, int8'` measures only these, and writes nothing.

All serve VGG16 with the same weights to the same photos on this machine. Closed-loop clients: each sends its
next photo when it has the answer to the last, over the same connection where the server keeps it. What is
compared are ratios within this run; the median of the rounds is shown. Writes the table in docs/performance.md and
docs/images/bench.svg.
"""

import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from overhead import jpeg
from serving import ROOT, children, free_port, gunicorn, multipart, resident_mb, run_together

sys.path.append(str(ROOT))  # this runs in the peers' environment, where the site is not installed

PEERS = ROOT / "bench" / "peers"
SHARED = ROOT.parent / "shared" / "data" / "photos"
ROUNDS = 3
# Photos per round, by the number of clients: so many that starting and ending, when the cores idle, hardly count.
REQUESTS = {1: 10, 8: 96, 32: 256}
BARE = 96  # photos of the bare engine per round, at most
COMPILED = ("int8", "bfloat16")
CALIBRATION = 120  # drawn pictures, which are as good as photos for the speed of int8
Post = Callable[[HTTPConnection, bytes], None]


@dataclass
class System:
    """A server: how it is started on a port, how it is asked, and what was measured of it."""

    name: str
    command: Callable[[int], list[str]]
    post: Post
    environ: dict[str, str] = field(default_factory=dict)
    folder: Path = PEERS  # it runs here
    bare: str = "float32"  # the bare engine that it is measured by
    port: int = field(default_factory=free_port)
    group: int = 0  # of its processes
    started_in_s: float = 0.0
    memory_mb: float = 0.0
    rates: dict[int, list[float]] = field(default_factory=lambda: {clients: [] for clients in REQUESTS})
    times: dict[int, list[float]] = field(default_factory=lambda: {clients: [] for clients in REQUESTS})

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("this site")

    def rate(self, clients: int) -> float:
        return statistics.median(self.rates[clients])


def main(*names: str) -> None:
    photos = [path.read_bytes() for path in sorted(SHARED.glob("*"))] or [jpeg(500, 375, 97)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        weights = prepare(Path(folder))
        systems = [system for system in all_systems(folder) if not names or system.name in names]
        wanted = {system.bare for system in systems}
        compile_folders(Path(folder), weights, [p for p in COMPILED if f"compiled, {p}" in wanted])
        for system in systems:
            stack.enter_context(started(system, weights, photos[0]))
        given = {"model": "vgg16", "weights": str(weights), "labels": f"{folder}/labels.json"}
        engines = {precision: given | {"precision": precision} for precision in ("float32", "bfloat16")}
        engines |= {f"compiled, {precision}": {"model": f"{folder}/{precision}"} for precision in COMPILED}
        bare = {name: bare_engine(options) for name, options in engines.items() if name in wanted}
        bare_rates: dict[str, dict[int, list[float]]] = {p: {clients: [] for clients in REQUESTS} for p in bare}
        for round_ in range(ROUNDS):
            for clients, count in REQUESTS.items():
                for precision, model in bare.items():
                    with alone(None, systems):
                        bare_rates[precision][clients].append(bare_rate(model, min(clients, 16), min(count, BARE)))
                for system in systems:
                    with alone(system, systems):
                        measure(system, clients, count, photos)
                    print(f"round {round_ + 1}, {clients:2} clients, {system.name:20}"
                          f"{system.rates[clients][-1]:6.2f} photos/s", flush=True)  # fmt: skip
    medians = {p: {clients: statistics.median(rates) for clients, rates in r.items()} for p, r in bare_rates.items()}
    page = "\n".join(table(systems, medians))
    print(page)
    if not names:
        write(page)
        plot(systems, medians)


def all_systems(folder: str) -> list[System]:
    python = sys.executable
    ours = {"CLASSIFIER_UPLOADS": f"{folder}/uploads", "CLASSIFIER_LABELS": f"{folder}/labels.json"}
    return [
        this_site("this site", ours),
        replace(this_site("this site, bfloat16", ours | {"CLASSIFIER_PRECISION": "bfloat16"}), bare="bfloat16"),
        *(compiled_site(precision, ours, folder) for precision in COMPILED),
        System("tutorial's app", lambda _: [python, str(PEERS / "tutorial.py")], form("/", "fileImage")),
        System("Gradio", lambda _: [python, str(PEERS / "gradio_app.py")], post_gradio),
        System("LitServe", lambda _: [python, str(PEERS / "litserve_app.py")], form("/predict", "fileImage")),
        System("BentoML", lambda port: [python, "-m", "bentoml", "serve", "bentoml_app:Classifier", "--host",
                                        "127.0.0.1", "--port", str(port)], form("/predict", "images")),
    ]  # fmt: skip


def this_site(name: str, environ: dict[str, str], folder: Path = ROOT) -> System:
    """Our site, of this checkout or of the one in `folder`."""
    environ = environ | {"PYTHONPATH": str(folder)}
    command = partial(gunicorn, folder=folder)
    return System(name, lambda port: command(f"127.0.0.1:{port}"), form("/", "fileImage"), environ, folder)


def compiled_site(precision: str, environ: dict[str, str], folder: str) -> System:
    site = this_site(f"this site, compiled, {precision}", environ | {"CLASSIFIER_MODEL": f"{folder}/{precision}"})
    return replace(site, bare=f"compiled, {precision}")


def prepare(folder: Path) -> Path:
    """Weights for everyone, drawn once, and labels."""
    import keras

    from classifier.models import weights

    with weights.unset():
        model = keras.applications.VGG16(weights=None)
    weights.randomise(model, 0)
    model.save_weights(folder / "vgg16.weights.h5")
    (folder / "labels.json").write_text(json.dumps({str(i): ["", f"class_{i}"] for i in range(1000)}))
    return folder / "vgg16.weights.h5"


def compile_folders(folder: Path, weights: Path, precisions: list[str]) -> None:
    """Write a compiled folder of VGG16 in each of these precisions."""
    (folder / "calibration").mkdir()
    for seed in range(CALIBRATION):
        (folder / "calibration" / f"{seed}.jpg").write_bytes(jpeg(320, 240, 90, seed))
    for precision in precisions:
        options = ["-o", folder / precision, "--precision", precision, "--photos", folder / "calibration", "--force"]
        model = ["vgg16", "--weights", weights, "--labels", weights.with_name("labels.json")]
        command = map(str, [sys.executable, "-m", "classifier", "compile", *model, *options])
        subprocess.run([*command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def started(system: System, weights: Path, photo: bytes) -> Iterator[None]:
    """Run the server; it is up when it has answered a photo."""
    environ = {"PORT": str(system.port), "BENCH_WEIGHTS": str(weights), "CLASSIFIER_WEIGHTS": str(weights),
               "TF_CPP_MIN_LOG_LEVEL": "2", "BENTOML_DO_NOT_TRACK": "1", "GRADIO_ANALYTICS_ENABLED": "0"}  # fmt: skip
    began = time.monotonic()
    with subprocess.Popen(
        system.command(system.port), cwd=system.folder,
        env=os.environ | environ | system.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            wait_for_answer(system, process, photo)
            system.group = process.pid
            system.started_in_s = time.monotonic() - began
            print(f"{system.name} answered after {system.started_in_s:.1f} s", flush=True)
            yield
            system.memory_mb = sum(map(resident_mb, tree(process.pid)))
        finally:
            os.killpg(process.pid, 15)


@contextlib.contextmanager
def alone(measured: System | None, systems: list[System]) -> Iterator[None]:
    """Halt the other peers meanwhile: idle, the three with queues take a tenth of two cores. Ours takes nothing."""
    others = [system for system in systems if system is not measured and not system.is_ours]
    for system in others:
        os.killpg(system.group, signal.SIGSTOP)
    try:
        yield
    finally:
        for system in others:
            os.killpg(system.group, signal.SIGCONT)


def wait_for_answer(system: System, process: subprocess.Popen[bytes], photo: bytes) -> None:
    while process.poll() is None:
        try:
            with connected(system) as connection:
                return system.post(connection, photo)
        except (OSError, AssertionError, ValueError):
            time.sleep(0.1)
    raise RuntimeError(f"{system.name} did not start.")


def bare_engine(options: dict[str, str]) -> Callable[[np.ndarray], np.ndarray]:
    from classifier.models import load
    from classifier.options import ModelOptions, build

    return load(build(ModelOptions, options))


def bare_rate(model: Callable[[np.ndarray], np.ndarray], batch: int, count: int) -> float:
    """Photos a second of the model called in a loop on ready pixels."""
    pixels = np.zeros((batch, 224, 224, 3), np.uint8)
    model(pixels)
    rounds = max(1, count // batch)
    began = time.monotonic()
    for _ in range(rounds):
        model(pixels)
    return rounds * batch / (time.monotonic() - began)


def measure(system: System, clients: int, count: int, photos: list[bytes]) -> None:
    """Let the clients send `count` photos in all; notes the rate and every answer's time."""
    queue, lock = iter(range(count)), threading.Lock()

    def client() -> None:
        with connected(system) as connection:
            while True:
                with lock:
                    i = next(queue, None)
                if i is None:
                    return
                began = time.monotonic()
                system.post(connection, photos[i % len(photos)])
                system.times[clients].append(time.monotonic() - began)

    began = time.monotonic()
    run_together(threading.Thread(target=client) for _ in range(clients))
    system.rates[clients].append(count / (time.monotonic() - began))


def form(path: str, name: str) -> Post:
    """Posting a photo as a multipart form, as curl does."""

    def post(connection: HTTPConnection, photo: bytes) -> None:
        request(connection, "POST", path, *multipart(name, photo))

    return post


def post_gradio(connection: HTTPConnection, photo: bytes) -> None:
    """Gradio's own protocol: upload, call, read the event stream."""
    (path,) = json.loads(request(connection, "POST", "/gradio_api/upload", *multipart("files", photo)))
    data = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}).encode()
    call = request(connection, "POST", "/gradio_api/call/predict", data, {"Content-Type": "application/json"})
    answer = request(connection, "GET", f"/gradio_api/call/predict/{json.loads(call)['event_id']}")
    assert b"event: complete" in answer, answer


def request(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return answer


def connected(system: System) -> contextlib.closing[HTTPConnection]:
    """A client's connection; it opens when something is asked, and again where the server has closed it."""
    return contextlib.closing(HTTPConnection("127.0.0.1", system.port, timeout=120))


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(descendant for child in children(pid) for descendant in tree(child))]


def table(systems: list[System], bare: dict[str, dict[int, float]]) -> list[str]:
    """Return the lines of the table: rates with their ratios to the bare engine, and times."""
    head = "| | " + " | ".join(map(in_words, REQUESTS)) + " | p50 / p95 / p99 at 32, s | memory | ready |"
    lines = [head, "| --- " * 7 + "|"]
    for precision, rates in bare.items():
        cells = " | ".join(f"{rates[c]:.2f}" for c in REQUESTS)
        lines.append(f"| *bare engine, {precision}, batch 1, 8, 16* | {cells} | | | |")
    for system in systems:
        base = bare[system.bare]
        cells = " | ".join(f"{system.rate(c):.2f} ({system.rate(c) / base[c]:.2f})" for c in REQUESTS)
        p50, p95, p99 = (statistics.quantiles(system.times[32], n=100)[i] for i in (49, 94, 98))
        lines.append(f"| {system.name} | {cells} | {p50:.2f} / {p95:.2f} / {p99:.2f} "
                     f"| {system.memory_mb / 1000:.2f} GB | {system.started_in_s:.0f} s |")  # fmt: skip
    note = (
        f"Photos per second, in brackets as a share of the bare engine. {date.today():%d %B %Y}, {os.cpu_count()} "
        f"cores ({platform.machine()}), no GPU; VGG16, median of {ROUNDS} interleaved rounds. Made by `make bench`.\n"
    )
    return [note, *lines]


def write(page: str) -> None:
    """Replace the table in docs/performance.md."""
    path = ROOT / "docs" / "performance.md"
    before, _, after = re.split(r"(?s)(?<=<!-- bench -->\n)(.*)(?=<!-- /bench -->)", path.read_text())
    path.write_text(before + page + "\n" + after)


def plot(systems: list[System], bare: dict[str, dict[int, float]]) -> None:
    """docs/images/bench.svg: photos per second by the number of clients, ours in blue, a line for each bare engine."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.4), layout="constrained")
    width = 0.8 / len(systems)
    for i, system in enumerate(systems):
        places = [x + i * width for x in range(len(REQUESTS))]
        rates = [system.rate(clients) for clients in REQUESTS]
        axes.bar(places, rates, width, label=system.name, color=colour(system, systems))
        axes.hlines(
            [bare[system.bare][clients] for clients in REQUESTS],
            [place - width / 2 for place in places],
            [place + width / 2 for place in places],
            "black",
            linewidth=1,
            label="its bare engine" if i == len(systems) - 1 else None,
        )
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(REQUESTS))], [in_words(clients) for clients in REQUESTS])
    axes.set_ylabel("photos per second")
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(ROOT / "docs" / "images" / "bench.svg")


def colour(system: System, systems: list[System]) -> tuple[float, ...]:
    """Return a blue for ours and a grey for the others, the darkest first."""
    from matplotlib import colormaps

    alike = [other for other in systems if other.is_ours == system.is_ours]
    return colormaps["Blues" if system.is_ours else "Greys"](0.9 - 0.6 * alike.index(system) / len(alike))


def in_words(clients: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
