"""What a reader waits for: report, findings, the first cell of a notebook."""

import os
import statistics
import subprocess
import sys
import tempfile

from tests.bench.measure import BIN, seconds, tell


def report_and_findings() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = seconds(BIN / "nl-forensics", "report", "parameters/demo.yaml", "--out", folder, runs=3)
        tell("report of the demo case, warm", f"{ours:.2f} s", "≤ 10 s")
        one = f"papermill -f parameters/demo.yaml $notebook {folder}/x.ipynb && jupyter nbconvert --to html {folder}/x.ipynb"
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        peer = seconds("sh", "-c", f"for notebook in notebooks/*.ipynb; do {one}; done", runs=3, env=os.environ | path)
        tell("the same notebooks by papermill and nbconvert, the peer", f"{peer:.2f} s", "slower")
    tell("findings of the demo case", f"{seconds(BIN / 'nl-forensics', 'findings', 'demo'):.2f} s", "≤ 1.5 s")
    tell("import of the package in a kernel", f"{_import_seconds():.2f} s", "≤ 1.1 s")


def _import_seconds() -> float:
    """What the first cell of a notebook waits for, in a process that already runs Python."""
    program = "import time; t = time.monotonic(); from nl_forensics import charts, open_case, verdict; print(time.monotonic() - t)"
    answers = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(6)
    ]
    return statistics.median(float(answer.stdout) for answer in answers[1:])
