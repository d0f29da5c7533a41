"""The same engine elsewhere, on Ray; the only package that imports it."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Find `app`: Ray Serve configurations of earlier releases name `classifier.cluster:app`."""
    if name == "app":
        from classifier.cluster.ray_serve import app

        return app
    raise AttributeError(name)
