"""What a check concluded from a recording holds until the code that it runs, or the recording, is another one.

`make check` judges some 45 recorded incidents and 1,800 altered tables. From its second run on, only those are judged again that may have
changed: as for types and for objects of a compiler, the key is the text of every module that is imported, directly or not.
A clean checkout has nothing kept, so CI judges everything.
"""

import hashlib
import importlib.metadata
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import grimp

TOP = Path(__file__).parent.parent
KEPT = TOP / ".unchanged"
JUDGES = ("nl_forensics.checks.judge", "nl_forensics.evidence.demo")
SOURCES = "nl_forensics.sources"  # whose packages import their modules by name
LIBRARIES = ("pandas", "numpy")


def key(module: str, *recordings: str) -> str:
    """Of what is concluded by a check of this module from recordings of these digests."""
    return hashlib.sha256(repr((code(module), recordings)).encode()).hexdigest()


def digest(recording: bytes) -> str:
    return hashlib.sha256(recording).hexdigest()


@cache
def digest_of(path: Path) -> str:
    """Of a file, which is read once."""
    return digest(path.read_bytes())


@cache
def code(module: str) -> bytes:
    """Digest of all that a check of a module runs."""
    found = hashlib.sha256(repr([sys.version, *map(importlib.metadata.version, LIBRARIES)]).encode())
    for name in sorted(used(module)):
        found.update(text(name))
    return found.digest()


def used(module: str) -> set[str]:
    """A module, what judges, all modules that either imports, and the packages that these are in."""
    roots = {module, *JUDGES} | _graph().find_descendants(SOURCES)
    modules = roots.union(*(_graph().find_upstream_modules(root) for root in roots))
    return modules | {name.rpartition(".")[0] for name in modules if name.count(".")}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("nl_forensics", cache_dir=None)


@cache
def text(module: str) -> bytes:
    path = TOP / module.replace(".", "/")
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return hashlib.sha256(module.encode() + file.read_bytes()).digest()


def results(group: str, name: str, wanted: Iterable[tuple[str, str, Callable[[], Any]]]) -> dict[str, Any]:
    """{what: its result} for each (what, key, compute): computed anew where the key is not the one it was kept with."""
    path = KEPT / group / f"{name}.pickle"
    before: dict[str, tuple[str, Any]] = pickle.loads(path.read_bytes()) if path.exists() else {}
    kept = {
        what: before[what] if before.get(what, ("",))[0] == its_key else (its_key, compute())
        for what, its_key, compute in wanted
    }
    if any(before.get(what) is not one for what, one in kept.items()):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(pickle.dumps(kept))
        unfinished.replace(path)
    return {what: result for what, (_, result) in kept.items()}
