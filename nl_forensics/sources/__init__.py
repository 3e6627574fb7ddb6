"""Everything that can be asked: one function, one question to one system."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Literal, NamedTuple

import pandas as pd

from nl_forensics.errors import BadAnswer, NotAllowed
from nl_forensics.sources.column import JSON, UTC, Column

Covers = Literal["window", "ring", "since", "now"]


def connection_of(system: str) -> str:
    """The system that is connected to for its queries: for each database of a server, the server."""
    return "postgres" if system == "database" else system


class Partial(NamedTuple):
    """Yielded by a fetch beside its records: a part of the answer that was not seen, and what would close the gap.

    window   `baseline` where only the window of comparison is affected: the verdict on the incident does not need it
    """

    unseen: str
    remedy: str = ""
    window: str = "incident"


class Proof(NamedTuple):
    """Yielded by a fetch: what shows that the measurement was on, so that an empty answer is a whole one."""

    shown_by: str


class Permission(NamedTuple):
    """What the asking role needs, in the words of each system. `adds`: an optional grant, and what it would add.

    postgres    a role to be granted (`pg_monitor`), or `SELECT ON table`; empty: any role that may connect
    redis       ACL rules, separated by blanks (`+slowlog|get +slowlog|len`)
    redis_values  the same for commands that read values, and only those of the keys in `billing.usage` (Redis 7.0 and newer)
    prometheus  the parts of the HTTP API, separated by blanks (`/api/v1/rules`)
    alertmanager  the same (`/api/v2/silences`)
    tables      the part of the platform file that names the tables (`billing`): the grants name their columns
    grafana     permissions of the role of the service account, separated by blanks (`datasources:read`)
    stripe      permissions of the restricted key, separated by `;` (`Events: read`)
    pgbouncer   a list of its configuration that the user must be in (`stats_users`)
    kubernetes  verbs and what they are allowed for, as `kubectl auth can-i` writes it, separated by `;`
                (`list pods; get pods/log; list deployments.apps; get /readyz`)
    also_in     Kubernetes namespaces in which it is needed beside those in scope, separated by blanks
    """

    postgres: str = ""
    redis: str = ""
    redis_values: str = ""
    prometheus: str = ""
    alertmanager: str = ""
    tables: str = ""
    grafana: str = ""
    stripe: str = ""
    pgbouncer: str = ""
    kubernetes: str = ""
    adds: str = ""
    also_in: str = ""

    def of_kubernetes(self) -> list[tuple[str, str]]:
        """Each verb with each resource: [("get", "pods/log"), …]."""
        rules = [rule.split() for rule in self.kubernetes.split(";") if rule.strip()]
        return [(verb, resource) for verbs, *resources in rules for verb in verbs.split(",") for resource in resources]

    def remedy(self, system: str) -> str:
        """What to grant where the answer was refused."""
        if self.tables and connection_of(system) == "postgres":
            return f"run the grants on the tables of {self.tables} that `nl-forensics permissions` prints"
        if self.redis_values and system == "redis":
            return f"allow the user {self.redis} and, for the keys that count usage, {self.redis_values}"
        wanted = getattr(self, connection_of(system), "")
        words = {
            "postgres": f"GRANT {wanted} TO the role",
            "database": f"GRANT {wanted} TO the role",
            "redis": f"allow the user {wanted}",
            "prometheus": f"let us read {wanted}",
            "alertmanager": f"let us read {wanted}",
            "grafana": f"give the service account {wanted}",
            "stripe": f"give the restricted key {wanted}",
            "pgbouncer": f"add the user to {wanted}",
            "kubernetes": f"allow us to {wanted}",
        }
        return words[system] if wanted else ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One question, the shape of its answer, and how far the answer reaches.

    fetch     asks: yields JSON records as they arrive, and `Partial` and `Proof` beside them; its first argument is the
              system that is asked (`postgres`, `database`, `redis`, …), the others (`incident`, `platform`) are by name
    derive    of a record that is redacted already, what is recorded: the only place where text is cut, summarised or taken apart
    parse     reads: records → rows; pure, so that a recorded answer is read by the same code
    columns   every column, by name; a null in one that is neither `absent` nor `unknown` is a hole
    covers    `window`: events or series over the incident; `ring`: as far back as a ring reaches;
              `since`: counters, as deltas between two readings; `now`: this moment only
    hole      what a null in such a column means, and what to do, where it is no matter of permission
    about     another system that the answer is about, or a part of the platform file (`tenants`, `metrics.requests`), "" for none:
              where the platform has none of it, the source is not asked
    of_all_tenants   tenants are compared in it, so that it is read whole also where the parameters name one of them
    readings  how often it is asked, spread over the platform's `budget.readings_s`; every record then carries
              `reading` (0, 1, …) and `read_at`
    """

    name: str
    system: str
    fetch: Callable
    parse: Callable[[list[dict]], pd.DataFrame]
    columns: dict[str, Column]
    covers: Covers
    readings: int
    needs: Permission
    guide: tuple[str, ...]
    doc: str
    hole: str = ""
    about: str = ""
    derive: Callable[[dict], dict] = dict
    of_all_tenants: bool = False

    @property
    def shows_only_now(self) -> bool:
        """Whether the answer is about the moment of asking alone: also where it is what changed between two readings."""
        return self.covers == "now" or self.readings > 1

    def applies(self, platform) -> bool:
        """Whether there is anything that the answer could be about."""
        if not self.about:
            return True
        first = self.about.partition(".")[0]
        if first in type(platform.systems).model_fields:
            return bool(platform.systems.instances(first))
        part = platform
        for name in self.about.split("."):
            part = getattr(part, name) if part else None
        return bool(part)

    def ask(self, link, incident, platform) -> Iterator:
        """Put the question through an open link."""
        offered = {"incident": incident, "platform": platform}
        wanted = list(inspect.signature(self.fetch).parameters)[1:]
        yield from self.fetch(link, **{name: offered[name] for name in wanted})

    def recorded(self, record: dict, redact: Callable[[dict], dict]) -> dict:
        """What is written of a fetched record: first redacted, then derived, so that no part of a secret outlives its shape."""
        return self.derive(redact(record))

    def remedy(self, error: str) -> str:
        """What would close the gap that an error leaves, by its name, where it does not say so itself: what to grant, if it was refused."""
        return self.needs.remedy(self.system) if error == NotAllowed.__name__ else ""

    def table(self, records: list[dict]) -> pd.DataFrame:
        """The rows of one recorded answer, with exactly the declared columns.

        Raises BadAnswer when the records are not shaped as documented.
        """
        try:
            rows = self.parse(records) if records else ()
            return self._typed(rows) if len(rows) else self.nothing.copy()
        except Exception as error:
            raise BadAnswer(f"{self.name} can't be read: {type(error).__name__}: {error}") from error

    def _typed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The declared columns of these rows. As arrays: of columns with an index, pandas would compare each index with all others."""
        lacking = pd.Series(None, rows.index, "object")
        typed = pd.DataFrame(
            {name: _cast(rows.get(name, lacking), column.dtype).array for name, column in self.columns.items()}
        )
        for name, column in self.columns.items():
            if column.form == JSON and not all(isinstance(json.loads(one), dict) for one in typed[name].dropna()):
                raise ValueError(f"{name} is no JSON object")
            if column.form not in ("", JSON) and not typed[name].dropna().str.fullmatch(column.form).all():
                raise ValueError(f"{name} is not of the form {column.form}")
        return typed

    @cached_property
    def nothing(self) -> pd.DataFrame:
        """The table without a row, as every third one is."""
        return self._typed(pd.DataFrame())

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The columns that must not hold a null."""
        return tuple(name for name, column in self.columns.items() if not column.nullable)


# `never` is the year 1 to Go, and 9999 in a certificate; beyond these years pandas can't add a duration.
HORIZON = (pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC"))

# Read once: pandas reads the name of a type anew with each comparison.
_dtype = cache(pd.api.types.pandas_dtype)


def _cast(column: pd.Series, dtype: str) -> pd.Series:
    if column.dtype == _dtype(dtype):
        return column
    if dtype == UTC:
        return _within_horizon(pd.to_datetime(column, utc=True, format="ISO8601").astype(UTC))
    if dtype == "Int64":
        return pd.to_numeric(column).astype("Int64")
    return column.astype(dtype)


def _within_horizon(moments: pd.Series) -> pd.Series:
    """Looks at the numbers first: nearly all columns are within, and comparing times takes pandas long."""
    known = moments.dropna().array.asi8
    first, last = (limit.timestamp() * 1e6 for limit in HORIZON)
    return moments.clip(*HORIZON) if len(known) and (known.min() < first or known.max() > last) else moments


def as_rows(records: list[dict]) -> pd.DataFrame:
    """The plain reading: one record, one row, the keys are the columns."""
    return pd.DataFrame.from_records(records)


def deltas(records: Iterable[dict], key: tuple[str, ...], counters: tuple[str, ...]) -> pd.DataFrame:
    """Counters of two or more readings as one row per key: the last reading, and the growth between first and last.

    Adds `seconds` (between the two readings) and, for each counter, `<counter>_delta`. A key that one of the two lacks,
    and a counter that went backwards (a reset), have no delta: it is null, never zero.
    """
    rows = as_rows(list(records))
    if rows.empty:
        return rows
    rows["read_at"] = pd.to_datetime(rows.read_at, utc=True, format="ISO8601")
    first = rows[rows.reading == rows.reading.min()].drop_duplicates(list(key)).set_index(list(key))
    last = rows[rows.reading == rows.reading.max()].drop_duplicates(list(key)).set_index(list(key))
    before = first.reindex(last.index)
    seconds = (last.read_at - before.read_at).dt.total_seconds()
    last["seconds"] = seconds.where(seconds > 0)
    for counter in counters:
        grown = pd.to_numeric(last[counter]) - pd.to_numeric(before[counter])
        last[f"{counter}_delta"] = grown.where((grown >= 0) & (seconds > 0))
    return last.reset_index()


SOURCES: dict[str, Source] = {}


def source(
    *,
    columns: Mapping[str, Column],
    covers: Covers,
    needs: Permission = Permission(),  # noqa: B008 (a constant)
    parse: Callable[[list[dict]], pd.DataFrame] = as_rows,
    derive: Callable[[dict], dict] = dict,
    readings: int = 1,
    guide: tuple[str, ...] = (),
    hole: str = "",
    about: str = "",
    of_all_tenants: bool = False,
):
    """Register the decorated fetch. Its name names the recorded file, the table, and the argument of every check."""

    def register(fetch: Callable) -> Source:
        name, system = fetch.__name__, next(iter(inspect.signature(fetch).parameters))
        SOURCES[name] = Source(
            name=name,
            system=system,
            fetch=fetch,
            derive=derive,
            parse=parse,
            columns=dict(columns),
            covers=covers,
            readings=readings,
            needs=needs,
            guide=guide,
            doc=inspect.getdoc(fetch) or "",
            hole=hole,
            about=about,
            of_all_tenants=of_all_tenants,
        )
        return SOURCES[name]

    return register


def asked_of_kubernetes() -> dict[tuple[str, str], set[str]]:
    """Every (verb, resource) that a source declares, with the namespaces in which it is needed beside those in scope."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in load().values():
        for pair in one.needs.of_kubernetes():
            found.setdefault(pair, set()).update(one.needs.also_in.split())
    return found


def load() -> dict[str, Source]:
    """Every source, in the order in which they are asked: first what is lost soonest."""
    from nl_forensics.sources import (  # noqa: F401
        alertmanager,
        dns,
        grafana,
        identity,
        kubernetes,
        pgbouncer,
        postgres,
        probe,
        prometheus,
        redis,
        stripe,
        systems,
    )

    import_module("nl_forensics.sources.billing")  # last: what PostgreSQL and Redis say of themselves is lost sooner
    return SOURCES
