"""Many photos in one zip file, sent by curl, and lone photos meanwhile: `python bench/zipped.py FOLDER [PHOTOS]`.

The zip file holds the photos of a folder as often as it takes to make 1,000, or PHOTOS. Prints how long the site took,
how much memory, and how soon lone photos were answered; exits 1 unless every row is what its photo gets alone.
"""

import csv
import io
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_STORED, ZipFile

from serving import Site, multipart, running

EVERY_S = 0.5  # between lone photos


def main() -> int:
    photos = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_file())
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with TemporaryDirectory() as name, running({"CLASSIFIER_UPLOADS": f"{name}/uploads"}) as site:
        archive = packed([photos[n % len(photos)] for n in range(number)], Path(name, "photos.zip"))
        alone = {path.name: ask(site, path)[0] for path in photos}
        quiet = statistics.median(ask(site, path)[1] for path in photos[:8])
        idle_mb, began = memory_mb(site.worker, "VmRSS"), time.monotonic()
        table, lone = sent_by_curl(site, archive, photos[0])
        took, more_mb = time.monotonic() - began, memory_mb(site.worker, "VmHWM") - idle_mb
        print(f"{number} photos, {archive.stat().st_size / 1e6:.0f} MB: {took:.1f} s, {more_mb:.0f} MB above idle")
    rows = [(row["filename"].partition("/")[2], row["label"]) for row in csv.DictReader(io.StringIO(table))]
    right = sum(alone[photo] == label for photo, label in rows)
    print(f"{len(rows)} rows, {right} as the photo alone")
    print(f"a lone photo: {quiet:.2f} s before; {statistics.median(lone):.2f} s meanwhile, {max(lone):.2f} s at most")
    return int(right != number)


def packed(photos: Sequence[Path], archive: Path) -> Path:
    with ZipFile(archive, "w", ZIP_STORED) as file:
        for number, photo in enumerate(photos):
            file.write(photo, f"{number:04}/{photo.name}")
    return archive


def sent_by_curl(site: Site, archive: Path, photo: Path) -> tuple[str, list[float]]:
    """The table that curl gets, and how long lone photos took meanwhile, in seconds."""
    lone, done = [ask(site, photo)[1]], threading.Event()

    def ask_now_and_then() -> None:
        while not done.wait(EVERY_S):
            lone.append(ask(site, photo)[1])

    asking = threading.Thread(target=ask_now_and_then)
    asking.start()
    command = ["curl", "-sS", "-H", "Accept: text/csv", "-F", f"fileImage=@{archive}", site.url]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done.set()
    asking.join()
    return table, lone


def ask(site: Site, photo: Path) -> tuple[str, float]:
    """The label of a photo, and the seconds that the answer took. Fails unless there is one."""
    began = time.monotonic()
    connection = HTTPConnection(site.host, site.port, timeout=120)
    body, headers = multipart("fileImage", photo.read_bytes())
    connection.request("POST", "/", body, headers | {"Accept": "application/json"})
    (result,) = json.load(connection.getresponse())["results"]
    connection.close()
    return result["predictions"][0]["label"], time.monotonic() - began


def memory_mb(process: int, row: str) -> float:
    """The memory of a process now (VmRSS), or its peak (VmHWM), in MB."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(row)]
    return int(line.split()[1]) / 1000


if __name__ == "__main__":
    sys.exit(main())
