"""Ends every server and removes its files when the process that started it is gone, however it went (also `kill -9`).

Runs as a process of its own. Its standard input is a pipe that the parent never writes to: end of file means that the
parent ended. (A parent-death signal won't do: Linux sends it when the *thread* that started the child ends.)

A process belongs to a server if its working folder lies inside the server's folder. That also holds for PostgreSQL's
backends, which leave their parent's process group and overwrite their environment. (So don't `cd` there in a shell.)
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path


def processes_in(folder):
    """Ids of the processes whose working folder is `folder` or lies inside it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            working_folder = (entry / "cwd").readlink()
        except OSError:  # gone meanwhile, a zombie, or another user's
            continue
        if working_folder.is_relative_to(folder):
            found.append(int(entry.name))
    return found


def signal_all(folder, number):
    """Send a signal to every process of a server."""
    for pid in processes_in(folder):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_all(folder):
    """Kill every process of a server, also those that it starts while it is killed."""
    while processes_in(folder):
        signal_all(folder, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    sys.stdin.read()
    kill_all(root)
    shutil.rmtree(root, ignore_errors=True)
