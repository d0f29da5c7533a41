"""Read every file of `BUGS` in a process of its own; print name, error, CPU seconds and added MB as JSON.

PYTHONPATH=.:tests .venv/bin/python -m hostile.measure
"""

import json
import resource
import time
from multiprocessing import get_context

from hostile.images import BUGS
from PIL import Image

from classifier.errors import ClassifierError
from classifier.photos import decode, fit


def outcome(data: bytes) -> str:
    try:
        image = decode.read(data)
        fit.to_pixels(image, (224, 224))
        fit.to_preview(image)
    except ClassifierError as error:
        return type(error).__name__
    return ""


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measured(name: str) -> tuple[str, str, float, float]:
    data = BUGS[name][0]()
    before_mb, before_s = peak_mb(), time.process_time()
    error = outcome(data)
    return name, error, time.process_time() - before_s, peak_mb() - before_mb


if __name__ == "__main__":
    Image.init()
    with get_context("fork").Pool(1, maxtasksperchild=1) as pool:  # a process' peak never goes down
        print(json.dumps(pool.map(measured, BUGS, chunksize=1)))
