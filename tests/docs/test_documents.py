"""The documents agree with the repository: links, commands, packages, tests and settings."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.command_blocks import PAGES, ROOT

README, MAKEFILE = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DOCUMENTS = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "uploads" / "README.md"]
PACKAGES = sorted(path.parent.relative_to(ROOT).as_posix() for top in ("web", "classifier")
                  for path in (ROOT / top).rglob("__init__.py"))  # fmt: skip
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_a_landing_page():
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900


def test_the_tables_of_the_readme_are_narrow():
    assert all(line.count("|") <= 4 for line in README.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_every_make_target_exists(page):
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`+[^`]+`+", page.read_text()))))
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def test_the_important_make_targets_are_documented():
    pages = "\n".join(page.read_text() for page in PAGES)
    assert {"run", "demo", "test", "lint", "bench", "constraints"} <= set(re.findall(r"\bmake ([a-z]+)\b", pages))


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_pictures_links_and_anchors_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", FENCED.sub("", page.read_text())):
        path, _, anchor = unquote(target).partition("#")
        linked = page.parent / path if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_linked():
    linked = {(page.parent / target).resolve()
              for page in PAGES
              for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())}  # fmt: skip
    assert {page for page in PAGES if page.name != "README.md"} <= linked


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_every_file_and_folder_it_names_exists(page):
    for path in re.findall(r"`((?:web|classifier|tests|bench|deploy|scripts|static)/[\w./-]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


def test_every_module_that_the_architecture_lists_exists():
    for package, lines in re.findall(r"^((?:web|classifier)\S*/) .*\n((?:  .*\n)+)", ARCHITECTURE, re.M):
        for module in re.findall(r"^  (\w+\.py) ", lines, re.M):
            assert (ROOT / package / module).is_file(), package + module


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_in_the_architecture(package):
    assert re.search(rf"^{package}/ ", ARCHITECTURE, re.M)


def test_the_command_that_remakes_the_constraints_is_the_one_make_runs():
    (command,) = re.findall(r"`(uv pip compile [^`]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert command in MAKEFILE


def test_constraints_pin_every_dependency():
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M))
    for dependency in re.findall(r'^    "([\w-]+)(?:\[[\w-]+\])?[>=]', (ROOT / "pyproject.toml").read_text(), re.M):
        assert dependency in pins, dependency


def test_the_settings_of_the_readme_are_rows_of_the_whole_table():
    (table,) = re.findall(
        r"<!-- settings -->\n(.*)<!-- /settings -->", (ROOT / "docs/configuration.md").read_text(), re.S
    )
    rows = [line for line in README.splitlines() if line.startswith("| `CLASSIFIER_")]
    assert len(rows) == 8
    assert set(rows) <= set(table.splitlines())


@pytest.mark.parametrize(("folder", "keyword"), re.findall(r"`T (\S+) -k (\w+)`", OPERATIONS))
def test_the_tests_that_reproduce_a_failure_exist(folder, keyword):
    sources = "\n".join(path.read_text() for path in (ROOT / folder).rglob("test_*.py"))
    assert re.search(rf"def test_\w*{keyword}", sources)
