"""The site's metrics for Prometheus.

Under gunicorn (PROMETHEUS_MULTIPROC_DIR is set) any worker process reports the metrics of all of them.
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
    """The metrics of one site, each named `classifier_...`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        new: dict[str, Any] = {"namespace": "classifier", "registry": self._registry}
        self.requests = Counter("requests", "Requests answered.", ["route", "method", "status"], **new)
        self.seconds = Histogram("request_seconds", "Time from request to response.", ["route"], buckets=SECONDS, **new)
        self.stages = Histogram("stage_seconds", "Time in each stage, per photo.", ["stage"], buckets=SECONDS, **new)
        self.batches = Histogram("batch_size", "Size of the batch that each photo ran in.", buckets=BATCHES, **new)
        self.confidence = Histogram("confidence", "Probability of the top class.", buckets=TENTHS, **new)
        self.refusals = Counter("refusals", "Photos and requests refused.", ["reason"], **new)
        self.feedback = Counter("feedback", "Visitors' feedback on results.", ["right"], **new)
        gauge: dict[str, Any] = new | {"multiprocess_mode": "livesum"}
        self.waiting = Gauge("queue_length", "Photos waiting for the model.", **gauge)
        self.kept = Gauge("kept_results", "Results kept.", multiprocess_mode="mostrecent", **new)
        self.kept_bytes = Gauge("kept_bytes", "Bytes that kept results take.", multiprocess_mode="mostrecent", **new)
        self.resident = Gauge("resident_memory_bytes", "Memory of each process.", multiprocess_mode="liveall", **new)
        self._memory_due = 0.0
        self.note_memory(0.0)
        for stage in STAGES:
            self.stages.labels(stage)

    def count_answer(self, answer: Answer) -> None:
        self.confidence.observe(answer.predictions[0].score)
        if stages := answer.stages:
            self.batches.observe(stages.batch)
            self.stages.labels("decode").observe(stages.decode)
            self.stages.labels("wait").observe(stages.wait)
            self.stages.labels("predict").observe(stages.predict)

    def note_memory(self, now: float) -> None:
        """Measure this process's memory, at most once a second as it means reading a file. `now`: monotonic seconds."""
        if now >= self._memory_due:
            self._memory_due = now + MEMORY_EVERY_S
            self.resident.set(resident_bytes())

    def count_feedback(self, right: bool) -> None:
        self.feedback.labels("yes" if right else "no").inc()

    def count_refusal(self, reason: str | HTTPStatus) -> None:
        """Count a refusal by an error's class or by a status: "TooLarge" is too_large, 429 too_many_requests."""
        name = reason.name if isinstance(reason, HTTPStatus) else re.sub(r"(?<!^)(?=[A-Z])", "_", reason)
        self.refusals.labels(name.lower()).inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
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
    """Return this process's resident memory, or 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
