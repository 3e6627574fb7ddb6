"""What we import is declared, what is declared is enough, and only `connect` may import a client of the network."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OUR_OWN = {"nl_forensics", "tests"}
FIRST_WORD = re.compile(r"[A-Za-z0-9._-]+")


def _normal(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(requirements: list[str]) -> set[str]:
    return {_normal(FIRST_WORD.match(one)[0]) for one in requirements}


def _imported(folder: Path) -> dict[str, Path]:
    """Top-level modules that are imported, also inside of functions, each with one file that does."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            found |= {name.partition(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OUR_OWN}


@pytest.mark.parametrize(
    "folder, declared",
    [
        ("nl_forensics", PROJECT["dependencies"]),
        ("tests", [*PROJECT["dependencies"], *EXTRAS["test"]]),
    ],
)
def test_every_package_that_is_imported_is_declared(folder, declared):
    carriers = importlib.metadata.packages_distributions()
    missing = {
        f"{module} ({path.relative_to(TOP)})"
        for module, path in _imported(TOP / folder).items()
        if not {_normal(one) for one in carriers[module]} & _declared(declared)
    }
    assert missing == set()


def test_every_package_has_a_lowest_version():
    """Without one, `make check-lowest` installs a version of 2009."""
    requirements = [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    assert [one for one in requirements if not re.search(r"[<>]=?\d", one)] == []


def test_conda_users_get_the_same_packages():
    declared = {*PROJECT["dependencies"], *(p for extra in EXTRAS.values() for p in extra)}
    [pip] = [
        d["pip"] for d in yaml.safe_load((TOP / "environment.yml").read_text())["dependencies"] if isinstance(d, dict)
    ]
    assert set(pip) == declared


# --- The wheel ---------------------------------------------------------------------------------------------------------


def test_an_installed_package_works_outside_the_checkout(tmp_path):
    """The wheel carries all that it needs: notebooks, platforms, templates and the demo case."""
    wheels, installed, elsewhere = (tmp_path / name for name in ("wheels", "installed", "elsewhere"))
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = _copy_of_the_package(tmp_path / "source")
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, source], check=True)
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", installed, wheel], check=True)

    assert _run(installed, elsewhere, "-c", "import nl_forensics; print(nl_forensics.__file__)").stdout.startswith(
        str(installed)
    )
    found = _run(installed, elsewhere, installed / "bin/nl-forensics", "findings", "demo")
    assert found.returncode == 1, found.stderr
    assert "billing-service" in found.stdout
    shown = _run(
        installed, elsewhere, "-c", "from nl_forensics.delivery.report import notebooks; print(*notebooks().values())"
    )
    assert f"{installed}/nl_forensics/notebooks/05_" in shown.stdout, shown.stderr


def _copy_of_the_package(place: Path) -> Path:
    """What a wheel is built from: a build in the checkout would take files of the build before."""
    for name in ("nl_forensics", "notebooks", "parameters"):
        shutil.copytree(TOP / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, place)
    return place


def _run(installed: Path, folder: Path, *arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


# --- The directions of imports -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the package in which a test may write a bad module."""
    place = tmp_path_factory.mktemp("copy")
    shutil.copytree(TOP / "nl_forensics", place / "nl_forensics", ignore=shutil.ignore_patterns("demo", "__pycache__"))
    shutil.copy(TOP / "pyproject.toml", place)
    assert _lint(place).returncode == 0, "without a bad module, all contracts are kept"
    return place


@pytest.mark.parametrize(
    "module, text, broken",
    [
        ("conclusions/new.py", "import requests\n", "Only connect talks to the network"),
        ("facts/kubernetes/new.py", "import kubernetes\n", "Only connect talks to the network"),
        ("units.py", "import socket\n", "Only connect talks to the network"),
        ("facts/new.py", "from nl_forensics import checks\n", "The flow has one direction"),
        ("evidence/new.py", "from nl_forensics.facts import entities\n", "The flow has one direction"),
        ("new.py", "", "The flow has one direction"),
    ],
)
def test_lint_refuses(copy, module, text, broken):
    """A module that nobody thought of: each of them falls under the contracts."""
    path = copy / "nl_forensics" / module
    before = path.read_text() if path.exists() else None
    path.write_text((before or "") + text)
    try:
        found = _lint(copy)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert found.returncode == 1
    assert re.search(rf"{broken}.* BROKEN", found.stdout), found.stdout


def _lint(folder: Path) -> subprocess.CompletedProcess:
    program = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
