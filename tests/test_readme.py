"""The README tells what is so."""

import re

from settings import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_every_make_target_it_names_exists():
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`+[^`]+`+", README))))
    assert {"run", "test", "lint", "bench", "constraints"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def test_every_file_of_the_layout_exists():
    (layout,) = re.findall(r"## How it is built\n\n```\n(.*?)```", README, re.S)
    names = re.findall(r"\b[a-z./]+\.py\b", layout)
    assert len(names) > 12
    inside, training = layout.index("classifier/ "), layout.index("classifier/training/")
    for name in names:
        at = layout.index(name)
        folder = "classifier/training" if at > training else "classifier" if at > inside else ""
        assert (ROOT / folder / name).is_file(), name


def test_every_module_is_in_the_layout():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("classifier/**/[a-z]*.py")]:
        assert path.name in README, path


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
