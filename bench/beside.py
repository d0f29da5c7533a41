"""This checkout beside another one of the same site, in one interleaved run: is a change faster or slower?

    python bench/beside.py ../before [bfloat16]

Both serve VGG16 with the same weights. Prints the median photos a second of each by the number of clients, and the
median of the rounds' ratios; ratios within a round are what to believe on a shared machine.
"""

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from compare import REQUESTS, SHARED, System, measure, prepare, started, this_site
from overhead import jpeg

ROUNDS = 5


def main(other: str, precision: str = "float32") -> None:
    photos = [path.read_bytes() for path in sorted(SHARED.glob("*"))] or [jpeg(500, 375, 97)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        weights = prepare(Path(folder))
        environ = {"CLASSIFIER_LABELS": f"{folder}/labels.json", "CLASSIFIER_PRECISION": precision}
        before = this_site("before", environ | {"CLASSIFIER_UPLOADS": f"{folder}/before"}, Path(other).resolve())
        after = this_site("this site", environ | {"CLASSIFIER_UPLOADS": f"{folder}/after"})
        for system in (before, after):
            stack.enter_context(started(system, weights, photos[0]))
        for round_ in range(ROUNDS):
            for clients, count in REQUESTS.items():
                for system in (before, after) if round_ % 2 else (after, before):
                    measure(system, clients, count, photos)
    for clients in REQUESTS:
        print(line(clients, before, after), flush=True)
    print(f"memory: before {before.memory_mb:.0f} MB, after {after.memory_mb:.0f} MB")


def line(clients: int, before: System, after: System) -> str:
    ratios = [new / old for old, new in zip(before.rates[clients], after.rates[clients], strict=True)]
    rates = f"before {before.rate(clients):6.2f}, after {after.rate(clients):6.2f} photos/s"
    return (
        f"{clients:2} clients: {rates}, ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
