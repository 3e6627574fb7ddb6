"""The project's own promises: what is declared twice is equal, and every public thing is documented."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from nl_forensics import checks, sources
from nl_forensics.units import Wording
from tests.conftest import LONGEST, ON_A_CLUSTER

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
TEST_FILES = sorted((TOP / "tests").rglob("test_*.py"))
SOURCES, CHECKS = sources.load(), checks.load()


def test_the_order_of_the_tests_names_files_that_there_are():
    assert set(ON_A_CLUSTER + LONGEST) - {path.stem for path in TEST_FILES} == set()


def test_only_one_worker_starts_clusters():
    """Whatever starts one by `with cluster(…)` is named among those that share a worker."""
    starts = re.compile(r"^from tests\.stack\.kubernetes\.cluster import cluster|crowd\.crowd\(", re.MULTILINE)
    found = {path.stem for path in TEST_FILES if starts.search(path.read_text())}
    assert found == set(ON_A_CLUSTER)


def test_conda_users_get_the_same_packages():
    declared = {*PROJECT["dependencies"], *(p for extra in PROJECT["optional-dependencies"].values() for p in extra)}
    [pip] = [
        d["pip"] for d in yaml.safe_load((TOP / "environment.yml").read_text())["dependencies"] if isinstance(d, dict)
    ]
    assert set(pip) == declared


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_holds(name):
    source = SOURCES[name]
    assert source.doc.splitlines()[0].endswith("."), "the first line says what one row is"


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_states_the_healthy_state(name):
    check = CHECKS[name]
    assert Wording(check.rule).of(check.limits).endswith(".")
    assert check.doc != check.rule, "the rest of the docstring says why it matters"
    assert set(check.needs) <= SOURCES.keys()


def test_an_installed_package_works_outside_the_checkout(tmp_path):
    """The wheel carries notebooks, platforms, templates and the demo case."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, TOP], check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {str(path.relative_to(TOP)) for path in (TOP / "nl_forensics").rglob("*.py")} <= set(names)
    for wanted in (
        "parameters_shipped/platforms/neurallog.yaml",
        "templates/report.html",
        "guide.yaml",
        "demo.zip",
    ):
        assert f"nl_forensics/{wanted}" in names
    assert any(name.startswith("nl_forensics/notebooks/05_") for name in names)
