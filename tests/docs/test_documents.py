"""The README tells what is so."""

import re

from settings import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_every_make_target_it_names_exists():
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`+[^`]+`+", README))))
    assert {"run", "test", "lint", "bench", "constraints"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def test_pictures_and_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).is_file()


def test_the_command_that_remakes_the_constraints_is_the_one_make_runs():
    (command,) = re.findall(r"`(uv pip compile [^`]+)`", README)
    assert command in MAKEFILE


def test_constraints_pin_every_dependency():
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M))
    for name in re.findall(r'^    "([\w-]+)(?:\[[\w-]+\])?[>=]', (ROOT / "pyproject.toml").read_text(), re.M):
        assert name in pins, name
