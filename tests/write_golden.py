"""`make golden`: what we conclude from each story, as JSON. To be read in the diff: every change is a change of what people are told."""

import json
import sys
from pathlib import Path

from nl_forensics.checks import run_checks
from nl_forensics.finding import Findings, Status
from tests.recorded import names, recorded_case

GOLDEN = Path(__file__).parent / "golden"
TOLD = ("check", "status", "severity", "subject", "because", "when")


def golden(findings: Findings) -> dict[str, list]:
    """Each problem and each unknown as it is told, worst first; of the checks that passed, their names."""
    told = [finding for finding in findings if finding.status is not Status.OK]
    passed = sorted(finding.check for finding in findings if finding.status is Status.OK)
    return {"told": [{name: str(getattr(finding, name)) for name in TOLD} for finding in told], "ok": passed}


def states(name: str) -> dict[Status, set[str]]:
    """The checks in each state, by the golden of a story."""
    known = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    found = {status: {one["check"] for one in known["told"] if one["status"] == status} for status in Status}
    return found | {Status.OK: set(known["ok"])}


def as_text(findings: Findings) -> str:
    return json.dumps(golden(findings), indent=1, ensure_ascii=False) + "\n"


def main(wanted: list[str]) -> None:
    """Of the stories that are named; of all of them where none is."""
    if unknown := set(wanted) - set(names()):
        sys.exit(f"no story is called {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    GOLDEN.mkdir(exist_ok=True)
    for stale in GOLDEN.glob("*.json"):
        if stale.stem not in names():
            stale.unlink()
    for name in wanted or names():
        (GOLDEN / f"{name}.json").write_text(as_text(run_checks(recorded_case(name))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
