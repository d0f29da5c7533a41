"""The command blocks of the documents, and a copy of the repository to run them in.

A block is fenced as `sh`. One that cannot run here has a comment with the reason right before it:
`<!-- not run: needs a Docker daemon -->`. A line that starts the site runs in the background until the next such line
or the end of the page.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from serving import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)
SERVES = re.compile(r"^[^#]*\b(make (run|demo)|gunicorn|flask)\b")
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+|(?<=0\.0\.0\.0:)\d+|(?<=PORT=)\d+")
SITE, FLASK = "3000", "5000"  # the ports of make and of flask
START_S, STOP_S, COMMAND_S = 120, 40, 300
OFFLINE = "http://127.0.0.1:9"  # a proxy that refuses, so that nothing can be downloaded


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` is why it is not run."""

    language: str
    code: str
    reason: str | None = None


def blocks(page: Path) -> list[Block]:
    """Return all fenced blocks of a page, in order."""
    return [Block(found["language"], found["code"], found["reason"]) for found in FENCE.finditer(page.read_text())]


def steps(code: str) -> Iterator[tuple[bool, str]]:
    """Yield (whether it serves, the commands) for the parts of a block; each line that serves is a part of its own."""
    plain = ""
    for line in code.splitlines(keepends=True):
        if not SERVES.match(line):
            plain += line
            continue
        if plain:
            yield False, plain
        yield True, line
        plain = ""
    if plain.strip():
        yield False, plain


def is_default_site(command: str) -> bool:
    """Return whether a command starts the site without any options, so that pages can share it."""
    return command.partition("#")[0].strip() == "make run"


@dataclass
class Ports:
    """Free ports in place of those that the documents name."""

    free: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, named: str) -> str:
        return self.free.setdefault(named, str(free_port()))

    def rewrite(self, code: str) -> str:
        """Return the commands with every named port replaced by a free one, the same each time."""
        return PORT.sub(lambda found: self[found[0]], code)

    def served(self, command: str) -> str:
        """Return the port, as documented, at which a command serves."""
        found = PORT.search(command)
        return found[0] if found else FLASK if "flask" in command else SITE


@dataclass
class Checkout:
    """A folder with the tracked files of the working tree, an environment that is installed, and files to work on."""

    folder: Path
    environ: Mapping[str, str]
    ports: Ports = field(default_factory=Ports)

    @classmethod
    def create(cls, folder: Path, inputs: Path, environ: Mapping[str, str]) -> "Checkout":
        """Copy the repository and `inputs`, and give the copy this interpreter's environment as `.venv`."""
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).exists():  # not one that is deleted and not yet committed
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").mkdir()
        for path in Path(sys.prefix).iterdir():
            if not path.name.startswith("installed"):
                (folder / ".venv" / path.name).symlink_to(path)
        shutil.copytree(inputs, folder, dirs_exist_ok=True)
        for stamp in ("installed", "installed-dev"):  # newer than what make compares them with
            (folder / ".venv" / stamp).touch()
        return cls(folder, {**environ, "PYTHONPATH": str(folder)})

    def run(self, code: str) -> str:
        """Run commands as a reader would; return what they print. Raises AssertionError if one of them fails."""
        done = subprocess.run(
            self._bash(code), cwd=self.folder, env=self._environ(), capture_output=True, text=True, timeout=COMMAND_S
        )
        assert done.returncode == 0, (
            f"{code}\nexit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Start the site, wait until it is ready, and stop it with all its processes at the end."""
        log = self.folder / "site.log"
        with log.open("wb") as file:
            site = subprocess.Popen(
                self._bash(command), cwd=self.folder, env=self._environ(),
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        try:
            path = "healthz" if "flask" in command else "readyz"
            port = self.ports[self.ports.served(command)]
            wait_until_ready(f"http://127.0.0.1:{port}/{path}", site, log)
            yield
        finally:
            stop(site)

    def _bash(self, code: str) -> list[str]:
        return ["bash", "-euo", "pipefail", "-c", self.ports.rewrite(code)]

    def _environ(self) -> dict[str, str]:
        return {**self.environ, "PORT": self.ports[SITE], "FLASK_RUN_PORT": self.ports[FLASK]}


def offline(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without this machine's settings and without a way to the network."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("CLASSIFIER_", "KERAS_", "AWS_"))}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), OFFLINE)
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
    return {**kept, **proxies, **local, "PIP_NO_INDEX": "1"}


def wait_until_ready(url: str, site: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while site.poll() is None and time.monotonic() < deadline:
        with suppress(URLError, ConnectionError):  # not listening yet, or not ready
            urlopen(url, timeout=START_S).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"The site is not ready at {url}:\n{log.read_text(errors='replace')[-3000:]}")


def stop(site: subprocess.Popen[bytes]) -> None:
    """End the process and everything it started."""
    deadline = time.monotonic() + STOP_S
    with suppress(ProcessLookupError):
        os.killpg(site.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            site.poll()
            os.killpg(site.pid, 0)
            time.sleep(0.05)
        os.killpg(site.pid, signal.SIGKILL)
    site.wait()


def last_json(printed: str) -> Any:
    """Return the JSON document at the end of what was printed."""
    for found in re.finditer(r"[{\[]", printed):
        with suppress(ValueError):
            return json.loads(printed[found.start() :])
    raise AssertionError(f"no JSON at the end of {printed[-1000:]!r}")


def shape(document: Any) -> Any:
    """Return the names and types of a JSON document; a list counts by its first element."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    if isinstance(document, list):
        return [shape(element) for element in document[:1]]
    return type(document).__name__
