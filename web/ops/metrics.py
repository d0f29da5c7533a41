"""What the site counts and measures, for Prometheus.

Under gunicorn (PROMETHEUS_MULTIPROC_DIR is set) any worker process tells the figures of all.
"""

import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from classifier.contract import Answer

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
TENTHS = tuple(tenth / 10 for tenth in range(1, 11))
MEMORY_EVERY_S = 1.0
STAGES = ("decode", "wait", "predict", "render")


class Metrics:
    """The figures of one site, each under `classifier_...`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        new: dict[str, Any] = {"namespace": "classifier", "registry": self._registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "method", "status"], **new)
        self.seconds = Histogram("request_seconds", "From request to answer.", ["route"], buckets=SECONDS, **new)
        self.stages = Histogram("stage_seconds", "Where that went, by photo.", ["stage"], buckets=SECONDS, **new)
        self.batches = Histogram("batch_size", "With how many photos each was run.", buckets=BATCHES, **new)
        self.confidence = Histogram("confidence", "The first class' probability.", buckets=TENTHS, **new)
        self.refusals = Counter("refusals", "Photos and requests refused.", ["reason"], **new)
        self.feedback = Counter("feedback", "What visitors said of answers.", ["right"], **new)
        gauge: dict[str, Any] = new | {"multiprocess_mode": "livesum"}
        self.waiting = Gauge("queue_length", "Photos that wait for the model.", **gauge)
        self.kept = Gauge("kept_results", "Outcomes kept.", multiprocess_mode="mostrecent", **new)
        self.kept_bytes = Gauge("kept_bytes", "What they take.", multiprocess_mode="mostrecent", **new)
        self.resident = Gauge("resident_memory_bytes", "Memory of each process.", multiprocess_mode="liveall", **new)
        self._memory_due = 0.0
        self.note_memory(0.0)
        for stage in STAGES:
            self.stages.labels(stage)

    def answered(self, answer: Answer) -> None:
        self.confidence.observe(answer.predictions[0].score)
        if stages := answer.stages:
            self.batches.observe(stages.batch)
            self.stages.labels("decode").observe(stages.decode)
            self.stages.labels("wait").observe(stages.wait)
            self.stages.labels("predict").observe(stages.predict)

    def note_memory(self, now: float) -> None:
        """Once a second at most, as the system tells it in a file that has to be read. `now`: seconds, monotonic."""
        if now >= self._memory_due:
            self._memory_due = now + MEMORY_EVERY_S
            self.resident.set(resident_bytes())

    def refused(self, reason: str | HTTPStatus) -> None:
        """`reason`: an error's class, or a status; "TooLarge" and 429 count as too_large and too_many_requests."""
        name = reason.name if isinstance(reason, HTTPStatus) else re.sub(r"(?<!^)(?=[A-Z])", "_", reason)
        self.refusals.labels(name.lower()).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        AllProcesses(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)


class AllProcesses(MultiProcessCollector):
    """The figures of all processes, without a file that a starting one has created and not yet sized."""

    def collect(self) -> Any:
        with_content = [str(path) for path in Path(os.environ[MULTIPROCESS]).glob("*.db") if path.stat().st_size]
        return self.merge(with_content)  # type: ignore[no-untyped-call]


def resident_bytes() -> int:
    """How much memory this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
