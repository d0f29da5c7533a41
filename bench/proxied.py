"""Run the site as deploy/ has it: gunicorn on a socket that somebody else holds, nginx in front of it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving import ROOT, START_S, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
HOST = "127.0.0.1"
# What nginx opens at its start; the first two are in nginx.conf, the others come from its own defaults.
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Gunicorn:
    """The site on a Unix socket, as systemd's socket unit has it: the socket outlives the process."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], app: str = "wsgi:app", wrapper: Sequence[str] = ()
    ) -> None:
        self.path = folder / "classifier.sock"
        self.log = folder / "gunicorn.log"
        self._environ = {**os.environ, "CLASSIFIER_PROXIES": "1", "CLASSIFIER_TIMEOUT_S": "15", **environ}
        self._app = app
        self._wrapper = wrapper
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(1024)
        self.master: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start; requests wait in the kernel until the model is warm."""
        # systemd hands the socket over as descriptor 3, and says so to this process id.
        handed_over = f'exec 3<&{self._listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), self._app]
        with self.log.open("ab") as log:
            self.master = subprocess.Popen(
                [*self._wrapper, "bash", "-c", handed_over, "bash", *command],
                cwd=ROOT,
                env=self._environ,
                pass_fds=[self._listener.fileno()],
                stdout=log,
                stderr=log,
            )
        return self.master

    def stop(self) -> int | None:
        """SIGTERM, and wait for what was accepted to be answered; the exit status, None when not running."""
        if not self.master:
            return None
        master, self.master = self.master, None
        master.terminate()
        try:
            return master.wait(60)
        finally:
            master.kill()  # does nothing to one that has ended

    def close(self) -> None:
        self.stop()
        self._listener.close()


def rendered(folder: Path, port: int, upstream: Path) -> str:
    """deploy/nginx.conf with this machine's port and folders in place of the production ones."""
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "user www-data;": "user root;" if os.getuid() == 0 else "",
        "worker_processes auto;": "worker_processes 1;",
        "listen 80 default_server;": f"listen {HOST}:{port};",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
        "/var/lib/nginx/body": f"{folder}/client_body",
        "/var/lib/nginx/proxy": f"{folder}/proxy",
        "/run/classifier.sock": str(upstream),
        "/opt/classifier": str(ROOT),
        "http {\n": "http {\n" + "".join(f"{name}_temp_path {folder}/{name};\n" for name in FOLDERS[2:]),
    }
    for old, new in changes.items():
        if old not in config:
            raise ValueError(f"nginx.conf has no {old!r}")
        config = config.replace(old, new)
    return config


@contextmanager
def nginx(folder: Path, upstream: Path, wrapper: Sequence[str] = ()) -> Iterator[int]:
    """nginx before the site on the socket `upstream`; gives its port. `wrapper` is a command that runs it."""
    if not NGINX:
        raise RuntimeError("There is no nginx here (apt-get install nginx-light).")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(rendered(folder, port, upstream))
    command = [
        *wrapper,
        NGINX,
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
        "-c",
        str(config),
        "-g",
        "daemon off;",
    ]
    with subprocess.Popen(command) as process:
        try:
            wait_until_listening(port, process)
            yield port
        finally:
            process.terminate()


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError("nginx did not start.")
