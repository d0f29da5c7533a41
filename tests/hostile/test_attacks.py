"""A share of the attacks in tests/hostile/hostile_requests.py, and the largest pictures, against gunicorn."""

import random
import threading
from pathlib import Path

from hostile.hostile_requests import Attack, assault, send, strangers, toy_site
from hostile.images import FLAT_WEBP
from hostile.requests import attacks, form, part
from serving import run_together
from support.pictures import encoded, textured
from support.waiting import wait_until

PROMISED_MB = 1200
KEPT_MB = 150


def test_hundreds_of_hostile_requests_and_60_slow_clients_are_taken_as_promised(tmp_path):
    with toy_site(tmp_path) as target:
        outcomes, told = assault(target, attacks(random.Random(1), share=0.15), slow=30)
    assert len(outcomes) > 300
    assert [(outcome.fault, outcome.attack) for outcome in outcomes if outcome.fault] == []
    assert set(told) == {"Egyptian_cat"}
    assert strangers(tmp_path) == []


def test_nine_pictures_of_50_megapixels_at_once_take_the_memory_of_one(tmp_path):
    """Each takes 0.8 GB, more than any other kind; the model's memory comes on top."""
    statuses = []
    with toy_site(tmp_path) as target:
        send(target, Attack("photo", form(part(encoded(textured())))))
        idle_mb = memory_mb(target.worker, "VmRSS")
        large = Attack("large", form(part(FLAT_WEBP)))
        run_together(threading.Thread(target=lambda: statuses.append(send(target, large).status)) for _ in range(9))
        assert 200 in statuses
        assert set(statuses) <= {200, 503}  # on a machine so slow that the last are refused
        assert memory_mb(target.worker, "VmHWM") - idle_mb < PROMISED_MB
        wait_until(lambda: memory_mb(target.worker, "VmRSS") - idle_mb < KEPT_MB, within_s=60)


def memory_mb(pid: int, row: str) -> float:
    """Return VmRSS, a process's memory now, or VmHWM, its peak."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(row)]
    return int(line.split()[1]) / 1000
