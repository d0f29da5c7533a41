"""The simulation agrees with queueing theory, with the measurements and with docs/scaling.md."""

from math import factorial

import pytest
import scaling
from scaling import MEASURED, VGG16_CPU, Model, Replica, Site

from web.settings import ROOT


def one_by_one(seconds):
    return Model("a server", (1,), (seconds,))


def erlang_c(load, servers):
    """Return the probability of waiting at `servers` under an offered `load` (M/M/c)."""
    all_busy = load**servers / factorial(servers) * servers / (servers - load)
    return all_busy / (sum(load**k / factorial(k) for k in range(servers)) + all_busy)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_replica_without_batches_is_m_d_1(load):
    site = Site(one_by_one(0.01), 1, 10**6, web_s=lambda: 0, max_waiting=10**6)
    got = site.open(load / 0.01, 1000, 50)
    assert got.mean == pytest.approx(0.01 * (1 + load / (2 * (1 - load))), rel=0.03)
    assert got.refused == 0


@pytest.mark.parametrize(("load", "servers"), [(0.7, 1), (3.2, 4), (7, 8)])
def test_the_web_cores_are_m_m_c(load, servers):
    site = Site(one_by_one(1e-12), 1, servers, web_s=lambda: site.chance.expovariate(100))
    got = site.open(load * 100, 200, 20)
    assert got.mean == pytest.approx(0.01 * (1 + erlang_c(load, servers) / (servers - load)), rel=0.05)


def test_a_batch_takes_what_was_measured_and_straight_lines_between():
    model = Model("m", (1, 4, 8), (1.0, 2.5, 3.5))
    assert [model.takes(n) for n in (1, 2, 3, 4, 6, 8)] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    assert model.batch == 8


@pytest.mark.parametrize("clients", MEASURED)
def test_it_gives_within_a_tenth_what_was_measured(clients):
    rate, p50 = MEASURED[clients]
    got = Site(VGG16_CPU, 1, 2).closed(clients, 600, 60)
    assert got.rate == pytest.approx(rate, rel=0.1)
    if p50:
        assert got.quantile(0.5) == pytest.approx(p50, rel=0.1)


def test_overload_is_refused_early_as_bench_overload_measured():
    got = Site(VGG16_CPU, 1, 2).open(70, 300, 60)
    assert got.rate == pytest.approx(16 / VGG16_CPU.takes(16), rel=0.02)
    assert got.quantile(1) < scaling.LET_IN_S + VGG16_CPU.takes(16) + 1


def test_admission_is_that_of_the_engine():
    replica = Replica(Model("m", (1, 4), (1.0, 4.0)))
    assert replica.has_room(0, 256)
    replica.running, replica.ends = 4, 4.0
    replica.queue.extend([0.0] * 3)
    assert replica.has_room(0, 256)  # less than a batch waits: taken when it can be answered before the deadline
    replica.queue.append(0.0)
    assert not replica.has_room(0, 256)  # 4 s of the running batch, and 5 of those that wait, are more than 5
    assert replica.has_room(4.0, 256)
    assert not replica.has_room(4.0, 4)


def test_the_document_has_the_tables_that_the_command_prints():
    document = (ROOT / "docs" / "scaling.md").read_text()
    assert scaling.against_measured() in document
    assert scaling.plans() in document
