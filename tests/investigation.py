"""A parameter file and a platform file of a test's own, and what is run on them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from nl_forensics import cli
from nl_forensics.collection.collect import collect
from nl_forensics.evidence.case import Case
from nl_forensics.inputs import parameters as parameter_files

# For what never answers, and for what does: that is quick by itself, but for a machine that is busy.
QUICK = {"deadline_s": 8, "connect_s": 0.5, "question_s": 1, "readings_s": 0.5, "redis_scan_s": 0.2}
UNHURRIED = QUICK | {"deadline_s": 60, "connect_s": 10, "question_s": 10}
SYSTEMS = ("postgres", "pgbouncer", "redis", "prometheus")
PROGRAM = [sys.executable, "-m", "nl_forensics"]


def ago(**how_long) -> str:
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat()


@dataclass
class Investigation:
    """Of the systems given by address, {"redis": {"main": "redis://…"}}; the others are absent.

    options   {"postgres": {"allow_superuser": True}}: what the platform file says of every instance of a system
    parts     more keys of the platform file: `tenants`, `billing`
    """

    folder: Path
    systems: dict[str, dict[str, str]]
    budget: dict = field(default_factory=lambda: UNHURRIED)
    incident: dict = field(default_factory=lambda: {"id": "test", "start": ago(minutes=30), "end": "now"})
    options: dict = field(default_factory=dict)
    more: dict = field(default_factory=dict)
    parts: dict = field(default_factory=dict)

    def __post_init__(self):
        systems = {name: self._declared(name) for name in (*SYSTEMS, "kubernetes", "probe", "identity", "stripe")}
        platform = {"name": "test", "systems": systems, "budget": self.budget}
        platform["selectors"] = {"postgres": 'job="postgres"', "redis": 'job="redis"'}
        (self.folder / "platform.yaml").write_text(json.dumps(platform | self.parts))  # JSON is YAML
        asked = {
            "incident": self.incident,
            "platform": str(self.folder / "platform.yaml"),
            "case": str(self.case_folder),
        }
        self.file.write_text(json.dumps(asked | self.more))

    def _declared(self, system):
        instances = self.systems.get(system) or {}
        options = self.options.get(system, {})
        return {name: {"endpoint": _variable(system, name), **options} for name in instances} or "absent"

    @property
    def file(self) -> Path:
        return self.folder / "incident.yaml"

    @property
    def case_folder(self) -> Path:
        return self.folder / "case"

    @property
    def case(self) -> Case:
        return Case(self.case_folder)

    @property
    def addresses(self) -> dict[str, str]:
        return {
            _variable(system, name): address
            for system, instances in self.systems.items()
            for name, address in instances.items()
        }

    def collect(self, again=(), on_answer=None) -> Case:
        """In this process."""
        with mock.patch.dict(os.environ, self.addresses):
            return collect(self.case_folder, parameter_files.read(self.file), again, on_answer)

    def command(self, *words) -> int:
        """The exit code of a command, run in this process."""
        with mock.patch.dict(os.environ, self.addresses):
            return cli.run([str(word) for word in words])

    def start(self, *words, **options) -> subprocess.Popen:
        """A command as a process of its own, in a session of its own, as a terminal gives it one."""
        piped = {"text": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | self.addresses | options.pop("environment", {})
        words = [*PROGRAM, *(str(word) for word in words)]
        return subprocess.Popen(words, **piped | options, env=environment, start_new_session=True, cwd=self.folder)

    def run(self, *words, **options) -> subprocess.CompletedProcess:
        """A command as a process of its own, run to its end."""
        with self.start(*words, **options) as process:
            said, warned = process.communicate(timeout=300)
        return subprocess.CompletedProcess(words, process.returncode, said, warned)


def _variable(system: str, instance: str) -> str:
    return f"TEST_{system}_{instance}".upper().replace("-", "_")
