"""Arrows point down only, and the light parts stay light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from web.settings import ROOT

SOURCES = [*ROOT.glob("*.py"), *ROOT.glob("web/**/*.py"), *ROOT.glob("classifier/**/*.py")]
FILES = [path for path in SOURCES if path.name != "gunicorn.conf.py"]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere; `from package import module` is an import of the module alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names.values()}
    return found


def test_there_are_no_import_cycles():
    graph = {
        name: imports(path) & MODULES.keys() - {"classifier", "web", "web.pages", "web.api", "web.ops"}
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("classifier")])
def test_the_engine_knows_nothing_of_the_web(module):
    web = {name for name in MODULES if not name.startswith("classifier")} | {"flask", "werkzeug", "gunicorn"}
    assert not {name.partition(".")[0] for name in imports(MODULES[module])} & web


@pytest.mark.parametrize(
    "module", ["app", "web.settings", "classifier", "classifier.photos.decode", "classifier.serving.engine"]
)
def test_importing_the_light_parts_loads_no_backend(module):
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'jax', 'torch'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"
