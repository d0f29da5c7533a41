"""What Lighthouse says of the home page, of a result and of a list: `make lighthouse`. Needs npx and chromium.

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
MARKS = {"performance": 0.98, "accessibility": 1, "best-practices": 1}
MANY = 12  # photos of the list


def main() -> None:
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        results, cookies = zip(*(posted(site) for _ in range(MANY)), strict=True)
        scores = {
            "home": measured(site.url),
            "result": measured(site.url + results[0]),
            "many": measured(f"{site.url}/recent", "; ".join(cookies)),
        }
    for name, found in scores.items():
        print(name, *(f"{category} {score:.2f}" for category, score in found.items()))
    sys.exit(any(found[category] < mark for found in scores.values() for category, mark in MARKS.items()))


def posted(site: Site) -> tuple[str, str]:
    """The path of a result, and the cookie that remembers it."""
    body, headers = multipart("fileImage", jpeg(1600, 1200, 90))
    with urlopen(Request(site.url, body, headers | {"Accept": "application/json"})) as response:
        return str(json.load(response)["results"][0]["url"]), response.headers["Set-Cookie"].partition(";")[0]


def measured(url: str, cookies: str = "") -> dict[str, float]:
    """Lighthouse's scores, 0 to 1."""
    command = ["npx", "--yes", f"lighthouse@{VERSION}", url, "--quiet", "--output=json",
               f"--extra-headers={json.dumps({'Cookie': cookies})}",
               "--chrome-flags=--headless --no-sandbox"]  # fmt: skip
    environ = os.environ | {"CHROME_PATH": shutil.which("chromium") or ""}
    report = json.loads(subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE).stdout)
    return {name: report["categories"][name]["score"] for name in MARKS}


if __name__ == "__main__":
    main()
