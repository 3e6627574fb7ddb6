"""Asks sources of a live link, and runs checks on tables that a test makes."""

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from nl_forensics import checks, sources
from nl_forensics.collection.worker import readings
from nl_forensics.connect import open_link
from nl_forensics.evidence.table import Table
from nl_forensics.inputs.incident import Incident
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.redact import Redactor
from nl_forensics.sources import Partial, Proof
from tests.recorded import specimen


class Heard(NamedTuple):
    """What a source answered: the table of its records (as a case keeps them), and what was said beside them."""

    table: pd.DataFrame
    unseen: list[str]
    proof: str
    text: str


def platform(**changes) -> Platform:
    """NeuralLog's, with quick readings; `changes` replace whole keys."""
    values = read_yaml(shipped("platforms/neurallog.yaml"))
    values["budget"] |= {"readings_s": 0.5} | changes.pop("budget", {})
    return Platform.model_validate(values | changes)


def incident(minutes=30, baseline_minutes=0) -> Incident:
    """The last minutes, and as a baseline those before."""
    now = datetime.now(UTC)
    start = now - timedelta(minutes=minutes)
    baseline = {"start": (start - timedelta(minutes=baseline_minutes)).isoformat(), "end": start.isoformat()}
    window = {"start": start.isoformat(), "end": now.isoformat()}
    return Incident(id="test", **window, baseline=baseline if baseline_minutes else None)


def link(system, address, budget=None):
    """Open a link as a worker does."""
    where = platform(budget=budget or {})
    return open_link(system, address, where.systems.instances(system)["main"], where.budget)


def ask(link, name, incident_=None, platform_=None) -> Heard:
    """Every reading of one source."""
    items = list(readings(sources.load()[name], link, incident_ or incident(), platform_ or platform()))
    records = [item for item in items if not isinstance(item, Partial | Proof)]
    redact = Redactor(b"test").stream()
    kept = [sources.load()[name].recorded(json.loads(json.dumps(record, default=str)), redact) for record in records]
    unseen = [item.unseen for item in items if isinstance(item, Partial)]
    proof = next((item.shown_by for item in items if isinstance(item, Proof)), "")
    return Heard(sources.load()[name].table(kept), unseen, proof, json.dumps(kept))


def as_table(name, rows) -> Table:
    """What a case reads as the table of a source, of rows that a test has or made."""
    return Table(sources.load()[name], rows, gaps=(), is_blind=False)


def offenders(check, *tables, **limits) -> pd.DataFrame:
    """The rows that break a rule, in tables made for a test, with their severity."""
    one = checks.load()[check]
    stamped = [
        table.assign(**{"instance": "main", "asked_at": pd.Timestamp.now("UTC")} | dict(table.items()))
        for table in tables
    ]
    return one.graded(one.offenders(*stamped, **one.limits | limits), one.limits | limits)


def empty_table(name) -> pd.DataFrame:
    """Of a source that found nothing: its columns, and no rows."""
    columns = {column: pd.Series(dtype=spec.dtype) for column, spec in sources.load()[name].columns.items()}
    return pd.DataFrame(columns).assign(instance=pd.Series(dtype="str"), asked_at=pd.Series(dtype=sources.UTC))


def steps(values, step_s=15, **columns):
    """A table of one series over the incident."""
    start = pd.Timestamp.now("UTC") - pd.Timedelta(seconds=step_s * len(next(iter(values.values()))))
    rows = pd.DataFrame({"window": "incident", **values, **columns})
    return rows.assign(at=[start + pd.Timedelta(seconds=step_s * n) for n in range(len(rows))])


def specimen_tables(name):
    """The check that a recorded specimen is of, and its tables without the rows that have holes."""
    recorded = specimen(name)
    tables = {}
    for name, answer in recorded["answers"].items():
        table = sources.load()[name].table(answer["records"])
        whole = as_table(name, table).whole_rows
        tables[name] = whole.assign(instance="main", asked_at=pd.Timestamp(answer["asked_at"]))
    return recorded["check"], tables
