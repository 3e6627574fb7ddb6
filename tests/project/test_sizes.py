"""What a reader can take in at once: how many files there are, how long they are, and how long their functions."""

import ast
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
MAX_FILES, MAX_LINES, MAX_FUNCTION_LINES = 800, 400, 40
OURS = sorted(path for folder in ("nl_forensics", "tests") for path in (TOP / folder).rglob("*.py"))
# Longer ones that there still are, with the length that they may not outgrow. None is added: one that is split is struck out.
LONG_FILES = {
    "tests/checks/test_kubernetes_checks.py": 760,
    "tests/checks/test_runner.py": 680,
    "tests/cli/test_cli.py": 420,
    "tests/evidence/test_case.py": 540,
    "tests/redact/test_redact.py": 900,
}
LONG_FUNCTIONS = {
    "check": "the decorator: one argument a line, each explained, and what they become",
    "series": "each argument is explained, and its two closures are what they become",
}


def test_the_repository_is_small():
    """What is recorded is packed: one archive for a story, one file for the specimens of a module."""
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no repository: this is an exported tree")
    assert len(listed.stdout.splitlines()) < MAX_FILES


def test_every_file_can_be_read_at_once():
    lengths = {str(path.relative_to(TOP)): len(path.read_text(encoding="utf-8").splitlines()) for path in OURS}
    assert {name: lines for name, lines in lengths.items() if lines > LONG_FILES.get(name, MAX_LINES)} == {}


def test_every_function_can_be_read_at_once():
    package = [path for path in OURS if path.is_relative_to(TOP / "nl_forensics")]
    parts = [one for path in package for one in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    functions = [one for one in parts if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name for one in functions if one.end_lineno - one.lineno >= MAX_FUNCTION_LINES}
    assert long <= LONG_FUNCTIONS.keys()
