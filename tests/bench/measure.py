"""How a whole process is timed, and how much memory it takes with all that it starts."""

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent
TOP = Path(__file__).parents[2]


def seconds(*command: str, runs: int = 5, **options) -> float:
    """Median wall time of a command over some runs, after one that warms the caches."""
    times = []
    for _ in range(runs + 1):
        began = time.monotonic()
        subprocess.run(command, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **options)
        times.append(time.monotonic() - began)
    return statistics.median(times[1:])


def tell(what: str, figure: str, goal: str) -> None:
    print(f"{what:66} {figure:>14}   goal {goal}", flush=True)


def parameters(folder: Path, platform: str = "neurallog") -> Path:
    """A parameter file about the last half hour; its case lies beside it."""
    path = folder / "bench.yaml"
    start = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() - 1800))
    path.write_text(
        f"incident: {{id: bench, start: {start}, end: now}}\nplatform: {platform}\ncase: {folder / 'case'}\n"
    )
    return path


class Run(NamedTuple):
    """first_s: until the first finding was told; whole_s: until the end; peak_mib: of all our processes together."""

    first_s: float
    whole_s: float
    peak_mib: float


def watched(command: list, environment: dict) -> Run:
    """Run nl-forensics once, with an eye on its memory."""
    began, first, peak = time.monotonic(), [], [0.0]
    process = subprocess.Popen(
        [BIN / "nl-forensics", *command],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # findings are told there as they come
        text=True,
        start_new_session=True,
    )

    def watch() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], _resident_mib(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for line in process.stdout:
        if line.startswith("✗") and not first:
            first.append(time.monotonic() - began)
    watcher.join()
    return Run(first[0] if first else float("nan"), time.monotonic() - began, peak[0])


def _resident_mib(session: int) -> float:
    """Proportional memory of every process of one session: shared pages are counted once."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            rollup = (folder / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
    return total / 1024
