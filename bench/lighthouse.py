"""What Lighthouse says of the home page and of a result: `make lighthouse`. Needs npx and chromium.

Prints the scores, and fails below the marks that this project sets itself.
"""

import json
import os
import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from overhead import jpeg
from serving import Site, multipart, running

VERSION = "13.5.0"
MARKS = {"performance": 0.95, "accessibility": 1, "best-practices": 1}


def main() -> None:
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        pages = {"home": site.url, "result": site.url + posted(site)}
        scores = {name: measured(url) for name, url in pages.items()}
    for name, found in scores.items():
        print(name, *(f"{category} {score:.2f}" for category, score in found.items()))
    sys.exit(any(found[category] < mark for found in scores.values() for category, mark in MARKS.items()))


def posted(site: Site) -> str:
    """The path of a result."""
    body, headers = multipart("fileImage", jpeg(1600, 1200, 90))
    with urlopen(Request(site.url, body, headers | {"Accept": "application/json"})) as response:
        return str(json.load(response)["results"][0]["url"])


def measured(url: str) -> dict[str, float]:
    """Lighthouse's scores, 0 to 1."""
    command = ["npx", "--yes", f"lighthouse@{VERSION}", url, "--quiet", "--output=json",
               "--chrome-flags=--headless --no-sandbox"]  # fmt: skip
    environ = os.environ | {"CHROME_PATH": shutil.which("chromium") or ""}
    report = json.loads(subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE).stdout)
    return {name: report["categories"][name]["score"] for name in MARKS}


if __name__ == "__main__":
    main()
