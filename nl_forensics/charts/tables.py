"""Every table of a notebook that is more than a recorded answer: one question, its rows, and its data gaps.

As with charts: a table is a function over recorded answers, named by its arguments, and is called with the case alone:
`nl.tables.last_lines(case)`.
"""

import html
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from nl_forensics.charts.chart import not_shown, shortened
from nl_forensics.charts.labels import container_named, cut, listed, named, titled
from nl_forensics.checks.services.requests import by_route, requests_in_logs
from nl_forensics.evidence.case import Case
from nl_forensics.facts.kubernetes.revisions import WORKLOAD, revisions, symptoms, what_changed
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end
from nl_forensics.sources.prometheus.services import SERVICE, errors_by_service
from nl_forensics.units import in_bytes, in_percent, in_seconds

MAX_ROUTES = 20
MAX_LOGS, LINES_OF_EACH, MAX_REVISIONS, LONGEST_LINE = 8, 5, 20, 300


@dataclass(frozen=True)
class Table:
    """Rows, and what they show in words, data gaps included."""

    words: str
    rows: pd.DataFrame

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.words)}</p>" + (
            self.rows.to_html(index=False, border=0) if len(self.rows) else ""
        )

    def __repr__(self) -> str:
        return self.words + (f"\n{self.rows.to_string(index=False)}" if len(self.rows) else "")


TABLES: dict[str, Callable[[Case], Table]] = {}


def table(question: str, empty: str) -> Callable[[Callable[..., pd.DataFrame]], Callable[[Case], Table]]:
    """Declare a table. `empty`: the sentence for an empty result without data gaps."""

    def declare(rows_of: Callable[..., pd.DataFrame]) -> Callable[[Case], Table]:
        names = list(inspect.signature(rows_of).parameters)

        def of(case: Case) -> Table:
            found = {name: case.read(name) for name in names}
            missing = shortened(list(dict.fromkeys(gap for one in found.values() for gap in not_shown(one))))
            if any(one.shows_nothing for one in found.values()):
                return Table(titled(question, "No data available.", missing), pd.DataFrame())
            rows = rows_of(**{name: one.whole_rows.reset_index(drop=True) for name, one in found.items()}).reset_index(
                drop=True
            )
            nothing = f"In the data available, {empty[0].lower()}{empty[1:]}" if missing else empty
            return Table(titled(question, "" if len(rows) else nothing, missing), rows)

        of.__name__, of.__doc__ = rows_of.__name__, rows_of.__doc__
        TABLES[of.__name__] = of
        return of

    return declare


@table("Last log lines before a container ended", "No terminated container has log lines.")
def last_lines(k8s_unhealthy_logs, k8s_containers) -> pd.DataFrame:
    """The last lines of the run that ended last, of each container that ended since the incident began; most restarts first."""
    key = ["instance", "namespace", "pod", "container"]
    logs = k8s_unhealthy_logs[k8s_unhealthy_logs["message"].str.strip() != ""].merge(_died(k8s_containers), on=key)
    logs = logs[logs["previous"] | (logs["state"] == "terminated")]
    newest = (
        logs.sort_values(["previous", "line"], ascending=[False, True]).groupby(key, sort=False).tail(LINES_OF_EACH)
    )
    newest = newest.sort_values(["restarts", "ended_at", *key, "line"], ascending=[False, False, *[True] * 5])
    newest = newest[newest.groupby(key, sort=False).ngroup() < MAX_LOGS]
    again = newest.duplicated(key)
    return pd.DataFrame(
        {
            "container": container_named(newest).mask(again, ""),
            "ended": (newest["ended"] + newest["ended_at"].dt.strftime(", at %H:%M:%S UTC")).mask(again, ""),
            "at": newest["at"].dt.strftime("%H:%M:%S.%f").str[:-3].fillna(""),
            "level": newest["level"],
            "line": [cut(line, LONGEST_LINE) for line in newest["message"]],
        }
    )


def _died(k8s_containers: pd.DataFrame) -> pd.DataFrame:
    rows = with_last_end(kept(k8s_containers))
    rows = rows[rows["ended_at"].notna() & ((rows["end_reason"] != "Completed") | (rows["restarts"] > 0))]
    return rows[["instance", "namespace", "pod", "container", "state", "restarts", "ended", "ended_at"]]


@table("Changes of each rollout", "No workload has more than one revision.")
def changed(k8s_replica_sets, k8s_controller_revisions, k8s_containers, k8s_pods) -> pd.DataFrame:
    """What differs between a revision and the one before it, newest first, and the first symptom of a pod of that revision."""
    rows = revisions(k8s_replica_sets, k8s_controller_revisions)
    rows = (
        rows[rows["before_revision"].notna()]
        .sort_values("created_at", ascending=False, kind="stable")
        .head(MAX_REVISIONS)
    )
    wrong = (
        symptoms(k8s_containers, k8s_pods)
        .sort_values("symptom_at", kind="stable")
        .drop_duplicates([*WORKLOAD, "revision"])
    )
    wrong = wrong.rename(columns={"revision": "template_hash"})[[*WORKLOAD, "template_hash", "symptom", "symptom_at"]]
    rows = rows.merge(wrong, on=[*WORKLOAD, "template_hash"], how="left")
    first = rows["symptom"] + rows["symptom_at"].dt.strftime(", since %H:%M:%S UTC at the earliest")
    return pd.DataFrame(
        {
            "workload": named(rows, "namespace", "workload"),
            "revision": rows["revision"],
            "rolled out, UTC": rows["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "changed": [cut(what_changed(row), LONGEST_LINE) for row in rows.itertuples()],
            "first symptom of its pods": first.fillna("none"),
        }
    )


@table("Routes by share of request time, from the logs", "No log line has a request duration.")
def routes_in_logs(k8s_unhealthy_logs, k8s_logs) -> pd.DataFrame:
    """Every route by its share of the time of all requests of its service, counted in the log lines; the largest first."""
    rows = by_route(requests_in_logs(k8s_unhealthy_logs, k8s_logs))
    rows = rows.sort_values("total_ms", ascending=False, kind="stable").head(MAX_ROUTES)
    waited_ms = rows["upstream_ms"] / rows["requests"].where(rows["upstream_ratio"].notna())
    return pd.DataFrame(
        {
            "service": named(rows, "namespace", "workload"),
            "route": rows["request"],
            "requests": rows["requests"],
            "share of request time": rows["share"].map(in_percent),
            "p50": (rows["p50_ms"] / 1000).map(in_seconds),
            "p95": (rows["p95_ms"] / 1000).map(in_seconds),
            "time in upstream": [
                "unknown" if pd.isna(ratio) else f"{in_percent(ratio)}, {in_seconds(ms / 1000)} of each"
                for ratio, ms in zip(rows["upstream_ratio"], waited_ms, strict=True)
            ],
        }
    )


@table("Services that returned errors", "No service counted a request in the incident.")
def failed_requests(prom_service_requests) -> pd.DataFrame:
    """Every service that was asked in the incident, by how many requests it answered with an error of its own (5xx).

    Counts are rates times their steps, so approximate: requests that never reached a service are not counted.
    """
    steps = errors_by_service(prom_service_requests)
    incident, baseline = (steps[steps["window"] == window] for window in ("incident", "baseline"))
    step_s = incident["at"].drop_duplicates().sort_values().diff().dt.total_seconds().median()
    key = ["instance", *SERVICE]
    rows = _failed(incident).join(_failed(baseline)["share"].rename("before")).reset_index()
    rows = rows[rows["requests_per_s"] > 0].sort_values(["errors_per_s", *key], ascending=[False, *[True] * len(key)])
    failing = rows["first_at"].dt.strftime("%H:%M:%S to ") + rows["last_at"].dt.strftime("%H:%M:%S")
    return pd.DataFrame(
        {
            "service": named(rows, *SERVICE),
            "requests (approx.)": (rows["requests_per_s"] * step_s).round().astype("Int64"),
            "failed (approx.)": (rows["errors_per_s"] * step_s).round().astype("Int64"),
            "share": rows["share"].map(in_percent),
            "share in the baseline": ["unknown" if pd.isna(share) else in_percent(share) for share in rows["before"]],
            "failing, UTC": failing.fillna(""),
        }
    )


def _failed(steps: pd.DataFrame) -> pd.DataFrame:
    """By service: the sums of its steps, the `share` of its requests that failed, and between which two steps some did."""
    failing_at = steps["at"].where(steps["errors_per_s"] > 0)
    found = steps.assign(failing_at=failing_at).groupby(["instance", *SERVICE])
    sums = found[["requests_per_s", "errors_per_s"]].sum()
    share = sums["errors_per_s"] / sums["requests_per_s"].where(sums["requests_per_s"] > 0)
    return sums.assign(share=share, first_at=found["failing_at"].min(), last_at=found["failing_at"].max())


@table("Certificates of cert-manager", "No certificate is managed by cert-manager.")
def certificates_issued(k8s_certificates) -> pd.DataFrame:
    """Every Certificate, the one that is to be renewed first on top: its names, its dates, and how its last attempts went."""
    rows = k8s_certificates.sort_values("renews_at", na_position="first", kind="stable")
    failed = rows["failed_attempts"].astype("str") + rows["last_failed_at"].dt.strftime(
        ", last at %Y-%m-%d %H:%M UTC"
    ).fillna("")
    return pd.DataFrame(
        {
            "certificate": named(rows, "namespace", "name"),
            "for": rows["names"],
            "issuer": rows["issuer"],
            "ready": rows["ready"].map({True: "yes", False: "no"}).fillna("not known"),
            "expires, UTC": rows["not_after"].dt.strftime("%Y-%m-%d %H:%M").fillna("never issued"),
            "renewal, UTC": rows["renews_at"].dt.strftime("%Y-%m-%d %H:%M").fillna("not known"),
            "failed attempts": failed,
            "why": [cut(words, LONGEST_LINE) for words in rows["issuing_message"]],
        }
    )


@table("Network policies", "No network policy: every pod may connect to every other pod.")
def policy_rules(k8s_policy_rules) -> pd.DataFrame:
    """Every policy and direction: which pods it limits, and what it lets pass, as the API has it."""
    rows = k8s_policy_rules.sort_values(["namespace", "name", "direction"], kind="stable")
    return pd.DataFrame(
        {
            "policy": named(rows, "namespace", "name"),
            "limits": rows["direction"].map({"ingress": "what comes in", "egress": "what goes out"}),
            "of pods": rows["selector"].mask(rows["selector"] == "{}", "all of the namespace"),
            "lets pass": [cut(words, LONGEST_LINE) for words in rows["rules"].mask(rows["rules"] == "[]", "nothing")],
            "since, UTC": rows["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


@table("Ingress rules", "No ingress.")
def ingress_rules(k8s_ingresses) -> pd.DataFrame:
    """Every rule of every ingress."""
    rows = k8s_ingresses.sort_values(["namespace", "name", "host", "path"], kind="stable")
    return pd.DataFrame(
        {
            "ingress": named(rows, "namespace", "name"),
            "class": rows["class_name"].replace("", "(the default)"),
            "host and path": rows["host"] + rows["path"],
            "service": rows["service"] + ":" + rows["port"],
            "certificate": rows["certificate"].replace("", "none"),
            "address": rows["address"].replace("", "none yet"),
        }
    )


@table("WAL archive and replicas of PostgreSQL", "No PostgreSQL answered.")
def postgres_elsewhere(pg_archiver, pg_replication) -> pd.DataFrame:
    """How far the archive of its WAL reaches, and which replicas follow.

    Dumps, base backups and snapshots of volumes are not visible here; without one, a WAL archive restores nothing.
    """
    replicas = pg_replication[pg_replication["state"] != "backup"]
    behind = ["unknown" if pd.isna(size) else in_bytes(size) for size in replicas["behind_bytes"]]
    words = replicas["replica"] + ": " + replicas["state"] + ", " + pd.Series(behind, replicas.index, "str") + " behind"
    following = words.groupby(replicas["instance"]).agg(listed)
    return pd.DataFrame(
        {
            "server": pg_archiver["instance"],
            "WAL archive": [_archive(row) for row in pg_archiver.itertuples()],
            "replicas": [following.get(name, "none connected") for name in pg_archiver["instance"]],
        }
    )


def _archive(row) -> str:
    if row.archive_mode == "off" or not row.has_command:
        return "none: " + ("archive_mode is off" if row.archive_mode == "off" else "there is no command that archives")
    upto = (
        "nothing was archived"
        if pd.isna(row.last_archived_at)
        else f"up to {row.last_archived_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    waiting = "how many files wait is not known" if pd.isna(row.ready_files) else f"files that wait: {row.ready_files}"
    return f"{upto}; {waiting}"


@table("Snapshots and append-only file of Redis", "No Redis answered.")
def redis_saved(redis_persistence) -> pd.DataFrame:
    """Snapshot and append-only file. A disk that is lost takes both with it."""
    rows = redis_persistence
    return pd.DataFrame(
        {
            "server": rows["instance"],
            "append-only file": rows["aof_enabled"].map({True: "on", False: "off"}),
            "last snapshot, UTC": rows["last_save_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "changes since then": rows["changes_since_save"],
            "snapshots": rows["save_rules"].replace("", "none are made"),
        }
    )
