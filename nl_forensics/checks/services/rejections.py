"""Rules about rejected credentials: by the log lines of services, and by their answers 401 and 403."""

import pandas as pd

from nl_forensics.checks.rows import counted, one_line
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.facts.kubernetes.lines import dated_lines
from nl_forensics.facts.rejections import rejections
from nl_forensics.sources.prometheus.services import rejected_by_service

EXPIRED = "expired token"
SERVICE = ["instance", "namespace", "workload"]
# What the redactor put in the place of a credential that it recognised by its shape.
CREDENTIAL = r"<SECRET:(jwt|authorization|api_key|card|private_key|\w+_(?:key|token|secret))>"


def _by_reason(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """One row per service and reason: `lines`, `first_at` to `last_at`, `clients` (0: the lines name none), `top` with most lines."""
    rows = rejections(k8s_unhealthy_logs, k8s_logs)
    found = rows.groupby([*SERVICE, "reason", "is_ours", "next"], as_index=False, sort=False).agg(
        lines=("line", "size"),
        clients=("client", "nunique"),
        top=("client", lambda named: named.mode().iloc[0] if named.notna().any() else ""),
        said=("message", "last"),
        first_at=("at", "min"),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    number, clients = counted(found.lines, "rejection"), counted(found.clients, "client")
    by = ", by " + clients + ", most by " + found.top
    return found.assign(number=number + by.where(found.clients > 0, ""), said=one_line(found.said))


@check(
    section="09",
    severity="high",
    medium="clients == 1",
    subject="{namespace}/{workload}: {reason}",
    because="{number}, from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; “{said}”; check {next}",
    at="first_at",
    guide=("C112", "C114"),
)
def no_service_rejects_valid_tokens(k8s_unhealthy_logs, k8s_logs, *, min_lines=3):
    """No service rejects {min_lines:number} tokens for a reason on the side that issues or verifies.

    Key id not found, bad signature, algorithm, issuer, audience, a start in the future: after a rotation of keys or a change of settings,
    valid tokens are rejected. Medium where all come from one client, which may have forged them. 3 lines: a choice of ours.
    """
    rows = _by_reason(k8s_unhealthy_logs, k8s_logs)
    return rows[rows.is_ours & (rows.lines >= min_lines)].sort_values("lines", ascending=False)


@check(
    section="09",
    severity="medium",
    high="clients > 1",
    subject="{namespace}/{workload}: {reason}",
    because="{number}, from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; “{said}”; check {next}",
    at="first_at",
    guide=("C113", "C114"),
)
def clients_renew_their_tokens(k8s_unhealthy_logs, k8s_logs, *, min_lines=5, min_s=20):
    """No client sends an expired token {min_lines:number} times over {min_s:seconds}.

    A single rejection is how a client learns that it must renew. One client that continues has a fault of its own; several at once point to
    the issuer, or to a clock. Both limits: choices of ours.
    """
    rows = _by_reason(k8s_unhealthy_logs, k8s_logs)
    lasted_s = (rows.last_at - rows.first_at).dt.total_seconds()
    rows = rows[(rows.reason == EXPIRED) & (rows.lines >= min_lines) & (lasted_s >= min_s)]
    return rows.sort_values("lines", ascending=False)


@check(
    section="09",
    severity="medium",
    high="top_ratio > max_share",
    subject="{namespace}/{workload}: {reason}",
    because="{burst} rejections in the minute of {minute:%H:%M} UTC, otherwise {usual:.0f}/min (limits {min_lines:number}/min and"
    " {factor:.0f}× normal); {by}; check {next}",
    at="minute",
    guide=("C114",),
)
def no_burst_of_rejected_credentials(k8s_unhealthy_logs, k8s_logs, *, min_lines=20, factor=3, max_share=0.5):
    """No service rejects {min_lines:number} credentials in a minute, and {factor:.0f} times its normal rate.

    API keys, passwords, malformed tokens: an attacker tries them, or a deployed client has wrong ones. High where one client sends more
    than {max_share:percent} of them: a brute-force attack, or one broken client. 20 a minute and 50 %: choices of ours; 3 times: the
    guide's review.
    """
    rows = rejections(k8s_unhealthy_logs, k8s_logs)
    rows = rows[~rows.is_ours & (rows.reason != EXPIRED)]
    rows = rows.assign(minute=rows["at"].dt.floor("min"))
    key = [*SERVICE, "reason", "next"]
    minutes = rows.groupby([*key, "minute"], as_index=False).agg(
        burst=("line", "size"),
        clients=("client", "nunique"),
        top=("client", lambda named: named.mode().iloc[0] if named.notna().any() else ""),
        of_top=("client", lambda named: int(named.value_counts().max()) if named.notna().any() else 0),
        asked_at=("asked_at", "max"),
    )
    worst = minutes.sort_values("burst", ascending=False).drop_duplicates(key)
    others = minutes.groupby(key).burst.agg(["sum", "size"]).reindex(pd.MultiIndex.from_frame(worst[key]))
    rest, count = others["sum"].to_numpy() - worst.burst, others["size"].to_numpy() - 1
    worst = worst.assign(
        usual=(rest / pd.Series(count, worst.index).where(count > 0)).fillna(0.0), top_ratio=worst.of_top / worst.burst
    )
    known = worst.top + " sent " + worst.of_top.astype("str") + " of them"
    worst = worst.assign(by=known.where(worst.clients > 0, "its log names no client"))
    return worst[(worst.burst >= min_lines) & (worst.burst >= factor * worst.usual)]


@check(
    section="09",
    severity="high",
    subject="{namespace}/{workload}/{container}",
    because="{number} with a credential ({kinds}), from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; masked in the case, in clear in"
    " the log",
    at="first_at",
    guide=("C114",),
)
def no_log_has_a_credential(k8s_unhealthy_logs, k8s_logs):
    """No line of a log has a token, a key or a card number in it.

    Everyone with access to the log can use it: rotate it, and remove it from the log store. Recognised by shape, as the redaction does;
    the case has its kind only.
    """
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    rows = rows.assign(kind=rows.message.str.extract(CREDENTIAL, expand=False).fillna(""))
    rows = (
        rows[rows.kind != ""]
        .groupby([*SERVICE, "container"], as_index=False, sort=False)
        .agg(
            lines=("line", "size"),
            kinds=("kind", lambda kinds: ", ".join(sorted(set(kinds)))),
            first_at=("at", "min"),
            last_at=("at", "max"),
            asked_at=("asked_at", "max"),
        )
    )
    return rows.assign(number=counted(rows.lines, "line")).sort_values("lines", ascending=False)


@check(
    section="09",
    severity="medium",
    high="rejected_ratio > high_ratio",
    subject="{namespace}/{service}",
    because="{rejected:number} of {requests:number} requests rejected in {range_s:seconds} at {worst_at:%H:%M:%S} UTC"
    " ({rejected_ratio:percent}, mostly {status}); {usual} (limit {factor:.0f}× that, and {min_ratio:percent}); above the limit {span}",
    at="at",
    baseline=True,
    guide=("C114",),
)
def services_reject_as_few_requests_as_before(
    prom_service_requests, *, factor=3, min_ratio=0.05, high_ratio=0.5, min_requests=10, range_s=300
):
    """No service answered {factor:.0f} times as large a share of its requests with 401 or 403 as in the baseline, and {min_ratio:percent}.

    A rise is a change of keys or settings, a client with wrong credentials, or an attack. Without a baseline, the lowest share within the
    incident takes its place. 3 times: the guide's review; 5 %, 50 % and 10 requests in the 5 minutes of a step: choices of ours.
    """
    table = rejected_by_service(prom_service_requests)
    by = ["instance", "namespace", "service"]
    before = table[table.window == "baseline"].groupby(by)[["rejected_per_s", "requests_per_s"]].sum()
    ratio = (before.rejected_per_s / before.requests_per_s.where(before.requests_per_s > 0)).rename("before_ratio")
    rows = during(table[table.requests_per_s * range_s >= min_requests]).join(ratio, on=by)
    least = rows.groupby(by).rejected_ratio.transform("min")
    rows = rows.assign(normal=rows.before_ratio.fillna(least))
    rows = rows[(rows.rejected_ratio > min_ratio) & (rows.rejected_ratio > factor * rows.normal)]
    rows = worst_of_each(rows, by, "rejected_ratio")
    rejected, requests = rows.rejected_per_s * range_s, rows.requests_per_s * range_s
    known = rows.before_ratio.notna().map({True: "in the baseline", False: "at least, in the incident; no baseline"})
    share = [f"{normal * 100:.1f} % " for normal in rows.normal]
    return rows.assign(rejected=rejected, requests=requests, usual=share + known)
