"""One Ray cluster for all tests that need it, as it takes several seconds to start."""

import importlib.util
import os
from functools import cache

import pytest

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="no Ray here (.venv/bin/pip install -c constraints.txt -e '.[ray]')"
)
# Theirs to mend: Ray's own code warns as it is imported.
rays_warnings = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:subprocess:ResourceWarning"
)


@cache
def started_cluster() -> str:
    """Start the cluster once, until this process ends; return its RAY_ADDRESS."""
    from support import models

    from classifier.cluster import ray_serve

    ray_serve.connect(6)  # logical processors: more than all applications of the tests take together
    ray_serve.ray.cloudpickle.register_pickle_by_value(models)  # replicas need not find them
    return str(ray_serve.ray.get_runtime_context().gcs_address)


def stop() -> None:
    """End the cluster, which would use processor time until the last test."""
    if started_cluster.cache_info().currsize:
        from classifier.cluster import ray_serve

        ray_serve.ray.shutdown()
        started_cluster.cache_clear()


def replicas_of(app: str) -> list[int]:
    """Return the process ids of an application's replicas."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline") as file:
                    title = file.read()
            except OSError:
                continue
            if title.startswith(f"ray::ServeReplica:{app}:"):
                found.append(int(entry.name))
    return found
