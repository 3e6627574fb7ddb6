"""The README's commands do what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text()
SESSIONS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


def sessions():
    """(command, what it shows) of every console block; an ellipsis stands for anything."""
    for session in SESSIONS:
        command, _, shown = re.sub(r"^ {3}", "", session, flags=re.MULTILINE).strip().partition("\n")
        yield command.strip().removeprefix("$ "), shown


@pytest.mark.notebook
@pytest.mark.parametrize(("command", "shown"), list(sessions()), ids=lambda text: text if len(text) < 40 else "")
def test_a_command_shows_what_the_readme_says(command, shown):
    if command == "make report":  # the same without the installation, which the tests don't repeat
        command = "nl-forensics report parameters/demo.yaml"
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    answer = subprocess.run(
        command, shell=True, cwd=TOP, env=os.environ | path, capture_output=True, text=True, check=False
    )
    assert answer.returncode in (0, 1, 3), answer.stderr
    missing, begin = [], 0
    for part in map(
        str.strip, shown.split("…")
    ):  # one after the other: a pattern of them all takes minutes where one is missing
        at = answer.stdout.find(part, begin)
        missing, begin = (missing, at + len(part)) if at >= 0 else ([*missing, part], begin)
    assert missing == [], answer.stdout


def test_every_make_target_is_there():
    named = set(re.findall(r"^make ([\w-]+)", README, re.MULTILINE)) | {"report", "test"}
    targets = set(re.findall(r"^([\w-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets


def test_every_notebook_is_listed():
    assert {path.name for path in (TOP / "notebooks").glob("*.ipynb")} == set(
        re.findall(r"`notebooks/(\S+\.ipynb)`", README)
    )


def test_the_exit_codes_are_those_of_the_command_line():
    from nl_forensics import cli

    [stated] = re.findall(r"Exit codes: (.*?)`collect`", README.replace("\n", " "))
    assert stated in " ".join(cli.__doc__.split())
