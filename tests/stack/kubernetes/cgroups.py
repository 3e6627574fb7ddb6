"""The control groups of a node's containers. They outlive processes, so each is named after the process that made it."""

import os
import time
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
PREFIX = "nl-stack"
EMPTY_WITHIN_S = 5


def hierarchies():
    """The roots: one with cgroup v2, one for each controller with v1."""
    if (MOUNTED / "cgroup.controllers").exists():
        return [MOUNTED]
    return [folder for folder in MOUNTED.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def create(name):
    """Make a group below every root, and return its name; those of test runs that were killed are removed."""
    _remove_abandoned()
    group = f"{PREFIX}-{os.getpid()}-{name}"
    for root in hierarchies():
        (root / group).mkdir()
    return group


def remove(group):
    """Remove a group and all below it; its processes were killed, but may take a moment to be gone."""
    deadline = time.monotonic() + EMPTY_WITHIN_S
    for root in hierarchies():
        while not _removed(root / group) and time.monotonic() < deadline:
            time.sleep(0.02)


def _remove_abandoned():
    for root in hierarchies():
        for group in root.glob(f"{PREFIX}-*-*"):
            pid = group.name.removeprefix(f"{PREFIX}-").split("-")[0]
            if not Path(f"/proc/{pid}").exists():
                _removed(group)


def _removed(folder):
    """Remove what is empty, from the leaves up; whether all of it was."""
    for below, _, _ in os.walk(folder, topdown=False):
        try:
            Path(below).rmdir()
        except OSError:  # a process is in it still
            return False
    return True
