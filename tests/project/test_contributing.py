"""The worked examples of CONTRIBUTING.md work: a test applies them to a copy of the checkout, and runs their commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TEXT = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
APPENDED = re.compile(r"<!-- append: (\S+) -->\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"^\$ (.+)$", re.MULTILINE)
RECORDING = re.compile(r"-m (tests\.\w+|pytest) ")  # asks a real server, or judges what it was asked


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy with all examples in it."""
    place = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", ".*", "golden", "stories")
    for name in ("nl_forensics", "tests", "parameters", "notebooks"):
        shutil.copytree(TOP / name, place / name, ignore=ignored)
    (place / "tests/stories").mkdir()
    for story in (TOP / "tests/stories").glob("*.zip"):
        (place / "tests/stories" / story.name).symlink_to(story)
    shutil.copy(TOP / "tests/stories/causes.yaml", place / "tests/stories")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(TOP / name, place)
    for path, code in APPENDED.findall(TEXT):
        with (place / path).open("a", encoding="utf-8") as file:
            file.write("\n\n" + code)
    return place


def commands() -> list:
    marks = {command: [pytest.mark.server] if RECORDING.search(command) else [] for command in COMMANDS.findall(TEXT)}
    return [pytest.param(command, marks=needed) for command, needed in marks.items()]


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_examples_succeeds(checkout, command):
    program, *arguments = shlex.split(command)
    assert program == "python"
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    found = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]


def test_every_room_has_its_line():
    rooms = {path.name for path in (TOP / "nl_forensics").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}/`" not in TEXT} == set()
