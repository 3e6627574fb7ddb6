"""What it costs, measured: `make bench`. Every line is a goal and a figure; nothing here is a test.

Figures are medians of whole processes, in seconds of wall time, and the largest memory of any of our processes, in MiB.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.stack import postgres, redis
from tests.stack.stack import stack

BIN = Path(sys.executable).parent
TOP = Path(__file__).parent.parent
STATEMENTS, KEYS = 5_000, 1_000_000


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


def report_and_findings() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = seconds(BIN / "nl-forensics", "report", "parameters/demo.yaml", "--out", folder, runs=3)
        tell("report of the demo case, warm", f"{ours:.2f} s", "≤ 10 s")
        notebook = next((TOP / "notebooks").glob("05_*.ipynb"))
        script = f"papermill -f parameters/demo.yaml {notebook} {folder}/x.ipynb && jupyter nbconvert --to html {folder}/x.ipynb"
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        peer = seconds("sh", "-c", script, runs=3, env=os.environ | path)
        tell("the same notebook by papermill and nbconvert, the peer", f"{peer:.2f} s", "slower")
    tell("findings of the demo case", f"{seconds(BIN / 'nl-forensics', 'findings', 'demo'):.2f} s", "≤ 1.5 s")
    tell("import of the package in a kernel", f"{_import_seconds():.2f} s", "≤ 1.1 s")


def _import_seconds() -> float:
    """What the first cell of a notebook waits for, in a process that already runs Python."""
    program = "import time; t = time.monotonic(); from nl_forensics import charts, open_case, verdict; print(time.monotonic() - t)"
    answers = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(6)
    ]
    return statistics.median(float(answer.stdout) for answer in answers[1:])


def parameters(folder: Path) -> Path:
    path = folder / "bench.yaml"
    start = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() - 1800))
    path.write_text(
        f"incident: {{id: bench, start: {start}, end: now}}\nplatform: neurallog\ncase: {folder / 'case'}\n"
    )
    return path


def live_run() -> None:
    with stack() as running, tempfile.TemporaryDirectory() as folder:
        _fill(running.postgres, running.redis)
        running.postgres.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        first, whole, peak = _collected(parameters(Path(folder)), running.environment())
        tell("first finding of a live run", f"{first:.2f} s", "≤ 5 s")
        tell("whole collection", f"{whole:.2f} s", "≤ 20 s")
        tell(f"its memory, {STATEMENTS:,} statements and {KEYS:,} Redis keys", f"{peak:.0f} MiB", "≤ 300 MB")


def _fill(server: postgres.Postgres, cache: redis.Redis) -> None:
    server.execute("SELECT pg_stat_statements_reset()")
    with server.connect() as session:
        for number in range(STATEMENTS):
            session.execute(f"SELECT {', '.join(f'{n} AS c{number}_{n}' for n in range(3))}")
    with cache.connect() as connection:
        for begin in range(0, KEYS, 10_000):
            pipe = connection.pipeline(transaction=False)
            for number in range(begin, begin + 10_000):
                pipe.set(f"session:{number}", "x", ex=3600)
            pipe.execute()


def _collected(path: Path, environment: dict) -> tuple[float, float, float]:
    """(seconds to the first finding, seconds of the whole run, MiB of all our processes together)."""
    began, first, peak = time.monotonic(), [], [0.0]
    command = [BIN / "nl-forensics", "findings", str(path)]
    process = subprocess.Popen(
        command,
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
    return first[0] if first else float("nan"), time.monotonic() - began, peak[0]


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


if __name__ == "__main__":
    report_and_findings()
    live_run()
