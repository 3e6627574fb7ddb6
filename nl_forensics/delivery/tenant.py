"""Everything that a case has on one tenant, on one page: parts in a fixed order, each with what is known of it, or that it is unknown."""

import textwrap
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd

from nl_forensics.checks import run_checks
from nl_forensics.errors import ParameterError, did_you_mean
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import onset
from nl_forensics.finding import Findings
from nl_forensics.money import in_money
from nl_forensics.sanitize import printable
from nl_forensics.units import amount, in_bytes, in_percent

WIDTH, LABEL = 80, 13
MAX_LINES, MAX_NAMES, MAX_WRAPPED, MAX_INVOICES = 4, 10, 3, 2
LISTED = ("k8s_tenants", "pg_tenants", "k8s_tenant_namespaces")  # tables that name tenants
MONEY, ACCESS = ("08",), ("09",)  # sections of the guide


class Part(NamedTuple):
    """One part of the page. `unknown`: what was not seen of it; "" if it was seen whole."""

    name: str
    lines: list[str]
    unknown: str = ""


class Page(NamedTuple):
    """The case as it is read for one tenant, and the findings about it and the platform."""

    case: Case
    tenant: str
    findings: Findings

    def rows(self, name: str) -> pd.DataFrame:
        return self.case.read(name).whole_rows

    def own(self, name: str) -> pd.DataFrame:
        """The rows of a table that are in the namespace of the tenant, or name it."""
        rows, names = self.rows(name), self.case.parameters.platform.tenants
        if "tenant" in rows:
            own = self.case.scope.own if self.case.scope else {self.tenant}
            return rows[rows.tenant.isin(own)]
        return rows[rows.namespace == names.namespace_of(self.tenant)] if names else rows.head(0)

    def unseen(self, *names: str) -> str:
        """Why tables show less than all; "" where they show all."""
        gaps = [gap.in_words for name in names for gap in self.case.read(name).gaps if gap.window == "incident"]
        return "; ".join(dict.fromkeys(gaps))


def page_of(case: Case, tenant: str) -> Page:
    """The page of a tenant. Raises ParameterError if the case does not know it."""
    known = _known(case)
    if tenant not in known:
        if not known:
            raise ParameterError(f"{case.folder} has recorded no tenants: they are named in the platform file")
        more = f", and {len(known) - MAX_NAMES} more" if len(known) > MAX_NAMES else ""
        there = ", ".join(printable(name) for name in known[:MAX_NAMES]) + more
        raise ParameterError(f"there is no tenant {printable(tenant)}{did_you_mean(tenant, known)}; known are {there}")
    incident = case.incident.model_copy(update={"tenant": tenant})
    case.use_parameters(case.parameters.model_copy(update={"incident": incident}))
    return Page(case, tenant, run_checks(case))


def _known(case: Case) -> list[str]:
    found: dict[str, None] = {}
    for name in (name for name in LISTED if case.instances(name)):
        found |= dict.fromkeys(case.read(name).rows.tenant.dropna())
    return sorted(found)


# --- Parts ------------------------------------------------------------------------------------------------------------


def provisioning(page: Page) -> Part:
    """Plan, state, and the first step without a result."""
    lines = [
        f"plan {row.plan or 'not set'}, number {row.id or 'not set'}, created {_moment(row.created_at)},"
        f" {'suspended, ' if row.suspended else ''}the operator: {row.phase or 'no phase'}"
        for row in page.own("k8s_tenants").itertuples()
    ]
    steps = page.own("k8s_tenant_steps").sort_values("number", kind="stable")
    open_ = steps[~steps.done.fillna(False)]
    if len(open_):
        first = open_.iloc[0]
        lines.append(
            f"step {first.number} of {first.steps}, {first.step}, is not done: {first.kind} {first.object} {first.why}"
        )
    elif len(steps):
        lines.append(f"all {len(steps)} steps are done, the last object is of {_moment(steps.created_at.max())}")
    return Part("provisioning", lines or ["no object of the operator"], page.unseen("k8s_tenants", "k8s_tenant_steps"))


def quota(page: Page) -> Part:
    """Each quota, the fullest first."""
    rows = page.own("k8s_quotas")
    rows = rows[rows.hard > 0].assign(ratio=lambda part: part.used / part.hard).sort_values("ratio", ascending=False)
    lines = [
        f"{row.resource}: {amount(row.resource, row.used)} of {amount(row.resource, row.hard)} ({in_percent(row.ratio)})"
        for row in rows.itertuples()
    ]
    return Part("quota", lines or ["no quota"], page.unseen("k8s_quotas"))


def pods(page: Page) -> Part:
    """How many are ready, and which are not."""
    rows = page.own("k8s_pods")
    unready = rows[~rows.ready.fillna(False) & (rows.phase != "Succeeded")]
    lines = [f"{len(rows) - len(unready)} of {len(rows)} are ready"] if len(rows) else ["no pod"]
    lines += [f"{row.pod}: {row.phase}" + (f", {row.reason}" if row.reason else "") for row in unready.itertuples()]
    return Part("pods", lines, page.unseen("k8s_pods"))


def errors(page: Page) -> Part:
    """Lines of errors in the logs of its pods, by template."""
    names = ("k8s_unhealthy_logs", "k8s_logs")
    rows = pd.concat([page.own(name) for name in names])
    bad = rows[rows.level.isin(["error", "fatal"])]
    counts = bad.groupby("template")["at"].agg(["size", "max"]).sort_values("size", ascending=False)
    lines = [f"{row.size_}x {template} (last {_moment(row.max_)})" for template, row in _counted(counts)]
    return Part("errors", lines or [f"none in {len(rows)} lines of its logs"], page.unseen(*names))


def _counted(counts: pd.DataFrame) -> Iterator[tuple]:
    renamed = counts.rename(columns={"size": "size_", "max": "max_"})
    return zip(renamed.index, renamed.itertuples(index=False), strict=True)


def ingestion(page: Page) -> Part:
    """Lines accepted and stored, averaged over the incident."""
    lines = []
    for name, column, what in (
        ("prom_lines_accepted", "accepted_per_s", "accepted"),
        ("prom_lines_stored", "stored_per_s", "stored"),
    ):
        rows = page.own(name)
        for window in ("incident", "baseline"):
            part = rows[rows.window == window]
            if len(part):
                last = f", {part[column].iloc[-1]:.1f} at its end" if window == "incident" else ""
                lines.append(f"{what}: {part[column].mean():.1f} lines/s in the {window}{last}")
    return Part("ingestion", lines or ["no line was counted"], page.unseen("prom_lines_accepted", "prom_lines_stored"))


def usage(page: Page) -> Part:
    """Its share of what all tenants use, and its keys in Redis."""
    rows = page.own("prom_tenant_use")
    rows = rows[rows.window == "incident"]
    lines = [
        f"{row.resource}: {in_percent(row.share_ratio)} of what all {row.tenants} tenants used"
        for row in rows.itertuples()
    ]
    keys = page.own("redis_tenant_keys")
    lines += [
        f"Redis keys {row['pattern']}: {row['keys']}, {in_bytes(row['bytes'])}" for row in keys.to_dict("records")
    ]
    recorded = page.own("billing_usage") if page.case.instances("billing_usage") else pd.DataFrame()
    lines += [
        f"{row.metric}: {row.units:,} units recorded in the incident, {row.baseline_units:,} in the baseline"
        for row in recorded.itertuples()
    ]
    return Part("usage", lines or ["nothing was counted"], page.unseen("prom_tenant_use", "redis_tenant_keys"))


def money(page: Page) -> Part:
    """Its latest invoices, and what section 8 found."""
    found = _found("money", page, MONEY, "payments, usage and invoices were not asked for")
    invoices = page.own("billing_invoices") if page.case.instances("billing_invoices") else pd.DataFrame()
    lines = [
        f"invoice {row.invoice} of the period to {row.at:%Y-%m-%d}: {in_money(row.amount, row.currency)}, {row.status}"
        for row in invoices.head(MAX_INVOICES).itertuples()
    ]
    return found._replace(lines=[*lines, *found.lines])


def access(page: Page) -> Part:
    """Roles in its namespace, and what section 9 found."""
    rows = page.own("k8s_bindings")
    lines = [
        f"{row.subject_kind} {row.subject} of {row.subject_namespace or 'the cluster'}: {row.role_kind} {row.role}"
        for row in rows.itertuples()
    ]
    found = _found("access", page, ACCESS, "")
    return Part("access", [*lines, *found.lines] or ["no role binding in its namespace"], page.unseen("k8s_bindings"))


def _found(name: str, page: Page, sections: tuple[str, ...], otherwise: str) -> Part:
    """The problems of whole sections; their unknowns are what was not seen."""
    judged = [one for one in page.findings if one.section in sections]
    lines = [f"{one.subject}: {one.because}" for one in judged if one.is_of_the_incident]
    unknown = "; ".join(dict.fromkeys(one.because for one in judged if one.status == "unknown"))
    if not judged:
        return Part(name, [], otherwise)
    return Part(name, lines or ["no problem found"] * bool(otherwise), unknown)


def since(page: Page) -> Part:
    """The problems of this tenant and of the platform, and the first symptom."""
    problems = page.findings.problems
    first = onset(page.case, page.findings)
    lines = [f"first symptom at {_moment(first.at)}: {first.finding.subject}"] if first else []
    lines += [f"{one.severity}: {one.subject}: {one.because}" for one in problems]
    unknown = (
        f"{len({one.check for one in page.findings.blind_spots})} checks are undetermined"
        if page.findings.blind_spots
        else ""
    )
    return Part("since", lines or ["no problem found in the data available"], unknown)


# Each reads its tables by name; a part that has none in a case says so.
PARTS: tuple[Callable[[Page], Part], ...] = (
    provisioning,
    quota,
    pods,
    errors,
    ingestion,
    usage,
    money,
    access,
    since,
)


def parts_of(page: Page) -> list[Part]:
    """Every part, in order."""
    return [part(page) for part in PARTS]


def _moment(at: pd.Timestamp) -> str:
    return "at an unknown time" if pd.isna(at) else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def as_json(page: Page, parts: list[Part]) -> dict:
    """The page as JSON values."""
    return {
        "tenant": page.tenant,
        "verdict": page.findings.verdict(),
        "parts": {part.name: {"known": part.lines, "unknown": part.unknown or None} for part in parts},
        "findings": [one.as_json() for one in page.findings.problems],
    }


def as_lines(page: Page, parts: list[Part]) -> Iterator[str]:
    """The page for a terminal, 80 columns wide; what logs and objects say is printed without control characters."""
    start, end = page.case.incident.start, page.case.incident.end
    yield from _wrapped(f"tenant {page.tenant}, {start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC")
    for part in parts:
        shown = part.lines[:MAX_LINES]
        if more := len(part.lines) - len(shown):
            shown = [*shown, f"and {more} more (--json)"]
        if part.unknown:
            shown = [*shown, f"unknown: {part.unknown}"]
        lines = [line for words in shown for line in _wrapped(words)]
        for number, line in enumerate(lines):
            yield f"{part.name if not number else '':{LABEL}}{line}".rstrip()


def _wrapped(words: str) -> list[str]:
    """At most a few lines of printable characters."""
    text = " ".join(printable(words).split())
    return textwrap.wrap(text, WIDTH - LABEL, subsequent_indent="  ", max_lines=MAX_WRAPPED, placeholder=" …") or [""]
