"""What was recorded, as tests read it: a story is one archive, the specimens of a module of `tests.record` are one file.

story("lock_chain")        the folder of a case; to be read only
judged("lock_chain")       its findings
specimen("big_key")        the check that it is of, and the answers of the sources
"""

import atexit
import fcntl
import json
import os
import shutil
import tempfile
import threading
import zipfile
from functools import cache, partial
from pathlib import Path

from nl_forensics import checks
from nl_forensics.checks import judge
from nl_forensics.evidence import demo
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Findings
from tests import unchanged

STORIES = Path(__file__).parent / "stories"
SPECIMENS = Path(__file__).parent / "specimens"
DEMO = "demo"  # the story that ships with the package
UNPACKED = "NL_TESTS_UNPACKED"  # where the workers of one run unpack and judge stories for each other (conftest.py)
MIDNIGHT = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name: the same case makes the same bytes

_writing = threading.Lock()


def names() -> list[str]:
    """Every recorded story."""
    return sorted([DEMO, *(path.stem for path in STORIES.glob("*.zip"))])


def archive(name: str) -> Path:
    """Where a recorded story is kept."""
    return demo.ARCHIVE if name == DEMO else STORIES / f"{name}.zip"


@cache
def story(name: str) -> Path:
    """The folder of a recorded case, unpacked by the first who asks for it. Whoever changes one makes a copy."""
    folder = _unpacked() / name
    if not folder.is_dir():
        demo.unpack(archive(name), folder)
    return folder


def recorded_case(name: str) -> Case:
    """A recorded story."""
    return Case(story(name))


@cache
def judged(name: str) -> Findings:
    """What all checks find in a story, judged by the first worker that asks. To be read only."""
    case, recording = recorded_case(name), unchanged.digest_of(archive(name))
    wanted = [
        (one.name, unchanged.key(one.offenders.__module__, recording), partial(judge, one, case))
        for one in checks.load().values()
    ]
    with (_unpacked() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = unchanged.results("stories", name, wanted)
    return Findings(finding for findings in found.values() for finding in findings)


@cache
def _unpacked() -> Path:
    if UNPACKED in os.environ:
        return Path(os.environ[UNPACKED])
    folder = tempfile.mkdtemp(prefix="nl-stories-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def keep_story(name: str, folder: Path) -> None:
    """Put a case in the place of the former recording of a story. What is hidden in it (a lock) is left out."""
    with zipfile.ZipFile(archive(name), "w") as packed:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not inside.name.startswith("."):
                compression = zipfile.ZIP_STORED if path.suffix == ".gz" else zipfile.ZIP_DEFLATED
                packed.writestr(zipfile.ZipInfo(inside.as_posix(), MIDNIGHT), path.read_bytes(), compression)


@cache
def _recorded() -> dict[str, str]:
    """Each specimen as JSON, so that nobody changes what another reads."""
    return {name: json.dumps(one) for path in sorted(SPECIMENS.glob("*.json")) for name, one in _read(path).items()}


def _read(path: Path) -> dict[str, dict]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def specimens() -> list[str]:
    """The names of all recorded specimens."""
    return sorted(_recorded())


def specimen(name: str) -> dict:
    """What was recorded of one: `check`, `why`, and `answers` by source."""
    return json.loads(_recorded()[name])


def keep_specimen(kept_in: str, name: str, recorded: dict) -> None:
    """Put it in the place of the former recording. Several threads record at once."""
    path = SPECIMENS / f"{kept_in}.json"
    with _writing:
        all_of_it = dict(sorted((_read(path) | {name: recorded}).items()))
        path.write_text(json.dumps(all_of_it, indent=1, sort_keys=True) + "\n", encoding="utf-8")
