"""What the doctor says of the machine."""

import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from classifier.doctor import machine

CPUINFO = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu {}\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n"


@pytest.mark.parametrize(
    ("flags", "features"),
    [
        ("avx2", "no VNNI, no BF16, no AMX"),
        ("avx512_vnni avx512_bf16", "VNNI, BF16, no AMX"),
        ("avx_vnni avx512_bf16 amx_tile amx_bf16", "VNNI, BF16, AMX"),
    ],
)
def test_the_processor_is_named_with_what_speeds_up_reduced_precision(tmp_path, flags, features):
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flags))
    assert re.fullmatch(rf"AMD EPYC, \d+ cores?; {features}", machine.processor(tmp_path / "cpuinfo"))


def test_the_memory_is_read(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\nMemAvailable:   12000000 kB\n")
    assert machine.memory(tmp_path / "meminfo") == "24.6 GB, 12.3 GB available"


def test_a_system_without_proc_is_no_fault(tmp_path):
    assert machine.memory(tmp_path / "nothing") == "unknown"
    assert machine.processor(tmp_path / "nothing").endswith("; unknown")


def test_the_disk_of_a_folder_that_does_not_exist_yet_is_measured(tmp_path):
    assert re.fullmatch(rf"[\d.]+ GB free for {tmp_path}/a/b", machine.free(tmp_path / "a" / "b"))


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(400)

    def log_message(self, *_):
        pass


def test_a_server_that_answers_anything_is_reached():
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.handle_request).start()
        assert machine.network_error(f"http://127.0.0.1:{server.server_port}/") == ""
    assert "refused" in machine.network_error(f"http://127.0.0.1:{server.server_port}/")
