"""The house rules: arrows between packages point down, names are unique, and the light parts stay light."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter

import pytest

from web.settings import ROOT

FILES = [*ROOT.glob("*.py"), *ROOT.glob("web/**/*.py"), *ROOT.glob("classifier/**/*.py")]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

GROUND = {
    f"classifier.{name}"
    for name in (
        "atomic",
        "contract",
        "errors",
        "installed",
        "logs",
        "memory",
        "nvidia",
        "options",
        "progress",
        "ranking",
        "terms",
        "text",
    )
}
# Each package, and the packages that it may import besides itself and the ground.
ARROWS = {
    "classifier": set(),  # the ground: it imports only itself
    "classifier.photos": set(),
    "classifier.storage": set(),
    "classifier.models": {"classifier.photos"},
    "classifier.model_server": {"classifier.models"},
    "classifier.serving": {"classifier.photos"},
    "classifier.prediction": {"classifier.serving", "classifier.photos"},
    "classifier.cluster": {"classifier.prediction", "classifier.serving", "classifier.models", "classifier.photos"},
    "classifier.dataset": {"classifier.photos"},
    "classifier.doctor": {"classifier.models"},
    "classifier.evaluation": {"classifier.dataset", "classifier.models", "classifier.photos"},
    "classifier.compiling": {"classifier.evaluation", "classifier.dataset", "classifier.models", "classifier.photos"},
    "classifier.training": {"classifier.evaluation", "classifier.dataset", "classifier.models", "classifier.photos"},
    "web": set(),
    "web.ops": {"web", "classifier.storage"},
    "web.pages": {"web", "classifier.storage", "classifier.photos"},
    "web.api": {"web"},
    "web.openapi": {"web", "web.pages", "web.api"},
    "app": {"web", "web.openapi", "web.ops", "web.pages", "web.api", "classifier.storage", "classifier.photos"},
}
# These start everything else, each from its own end.
STARTS = {"wsgi", "gunicorn.conf", "classifier.cli", "classifier.__main__"}


def imports(module: str) -> set[str]:
    """Every name that a module imports, wherever it does; `from package import module` counts as that module."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


def package(module: str) -> str:
    """The entry of ARROWS that a module belongs to."""
    if module in ARROWS or module in STARTS:
        return module
    parent = module.rpartition(".")[0]
    return parent if parent in ARROWS else module


def importers(name: str) -> set[str]:
    """The modules that import `name` or something in it."""
    return {module for module in MODULES if name in {found.partition(".")[0] for found in imports(module)}}


def test_there_are_no_import_cycles():
    TopologicalSorter({module: imports(module) & MODULES.keys() for module in MODULES}).prepare()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - STARTS))
def test_arrows_between_packages_point_down(module):
    allowed = ARROWS[package(module)] | {package(module), "classifier"}
    assert {package(found) for found in imports(module) & MODULES.keys()} <= allowed


def test_the_ground_imports_only_itself():
    for module in GROUND & MODULES.keys():
        assert imports(module) & MODULES.keys() <= GROUND


def test_every_module_has_a_place():
    assert {module for module in MODULES if package(module) not in ARROWS} == STARTS
    assert {module for module in MODULES if package(module) == "classifier"} - GROUND == {"classifier"}


def test_three_python_files_lie_in_the_root():
    assert {path.name for path in ROOT.glob("*.py")} == {"app.py", "wsgi.py", "gunicorn.conf.py"}


def test_the_engine_knows_nothing_of_the_web():
    for name in ("web", "app", "wsgi", "flask", "werkzeug", "gunicorn"):
        assert not [module for module in importers(name) if module.startswith("classifier")]


def test_only_one_package_imports_ray():
    assert importers("ray") == {"classifier.cluster.ray_serve"}


def test_one_module_imports_openvino_for_all():
    assert importers("openvino") == {"classifier.models.openvino_runtime"}
    assert importers("nncf") == {"classifier.compiling.quantising"}


def test_keras_stays_where_models_are_made():
    keras = importers("keras") | importers("tensorflow") | importers("jax") | importers("torch")
    assert {package(module) for module in keras} <= {
        "classifier.compiling",
        "classifier.models",
        "classifier.evaluation",
        "classifier.training",
    }


@pytest.mark.parametrize(
    "module",
    [
        "app",
        "web.settings",
        "classifier",
        "classifier.photos.decode",
        "classifier.models",
        "classifier.model_server.client",
        "classifier.evaluation.evaluate",
        "classifier.serving.engine",
    ],
)
def test_importing_the_light_parts_loads_no_backend(module):
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'jax', 'torch'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_no_two_public_classes_share_a_name():
    classes = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(classes).items() if count > 1 and not name.startswith("_")] == []


def test_every_package_says_what_it_is_for():
    for path in FILES:
        if path.name == "__init__.py":
            assert re.match(r'"""[A-Z`]', path.read_text()), path
