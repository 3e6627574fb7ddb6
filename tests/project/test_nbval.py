"""A notebook's stored outputs are a test of their own: they must notice one value that is another."""

import subprocess
import sys

import nbformat
import pytest

from tests.write_notebooks import NOTEBOOKS, TOP

pytestmark = pytest.mark.notebook

KEPT = ("parameters", "incident", "verdict")  # the least that concludes something


def nbval(path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        path.parent,
    ]
    sanitize = ["--nbval-sanitize-with", TOP / "tests" / "sanitize.cfg"]
    return subprocess.run([*command, *sanitize, path], capture_output=True, text=True, check=False, cwd=TOP)


@pytest.fixture
def notebook():
    found = nbformat.read(next(path for path in NOTEBOOKS if path.stem.startswith("03")), as_version=4)
    found.cells = [cell for cell in found.cells if cell.id in KEPT]
    return found


def test_the_same_conclusions_are_green_twice(notebook, tmp_path):
    path = tmp_path / "same.ipynb"
    nbformat.write(notebook, path)
    for _ in range(2):
        ran = nbval(path)
        assert ran.returncode == 0, ran.stdout


def test_another_value_is_red(notebook, tmp_path):
    [verdict] = [cell for cell in notebook.cells if cell.id == "verdict"]
    told = verdict.outputs[0].data["text/plain"]
    assert " passed" in told
    count = told.partition(" passed")[0].rpartition(" ")[2]
    verdict.outputs[0].data["text/plain"] = told.replace(f" {count} passed", f" {int(count) + 1} passed", 1)
    path = tmp_path / "other.ipynb"
    nbformat.write(notebook, path)
    ran = nbval(path)
    assert ran.returncode == 1, ran.stdout
    assert "text/plain" in ran.stdout
