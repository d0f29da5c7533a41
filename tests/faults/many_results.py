"""Start the site beside 100,000 kept results: `PYTHONPATH=.:bench:tests python tests/faults/many_results.py`.

Prints how long a start takes without and with them; exits 1 when they make it 2 s slower.
"""

import secrets
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from serving import running
from support.environ import PYTHONPATH

RESULTS = 100_000
SLOWER_S = 2


def keep(folder: Path) -> None:
    folder.mkdir(parents=True)
    for _ in range(RESULTS):
        id = secrets.token_hex(16)
        (folder / f"{id}.jpg").write_bytes(b"picture")
        (folder / f"{id}.json").write_bytes(b"{}")


def started_in_s(uploads: Path) -> float:
    environ = {"CLASSIFIER_UPLOADS": str(uploads), **PYTHONPATH}
    with running(environ, app="support.toy_deployed:app") as site:
        return site.started_in_s


def main() -> None:
    with TemporaryDirectory() as name:
        started_in_s(Path(name, "warm-up"))
        without = started_in_s(Path(name, "empty"))
        began = time.monotonic()
        keep(Path(name, "full"))
        print(f"{RESULTS} results written in {time.monotonic() - began:.1f} s")
        beside = started_in_s(Path(name, "full"))
        left = sum(1 for _ in Path(name, "full").glob("*.json"))
    print(f"first page after {without:.2f} s; beside {left} results after {beside:.2f} s")
    sys.exit(beside - without > SLOWER_S or left != RESULTS)


if __name__ == "__main__":
    main()
