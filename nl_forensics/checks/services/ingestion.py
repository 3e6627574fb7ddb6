"""Rules about log lines: they arrive, and they are stored. By counters, without sending any."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during
from nl_forensics.runs import runs
from nl_forensics.sources.prometheus.services import lines_by_tenant
from nl_forensics.units import in_percent

TENANT = ["instance", "tenant"]
DRIFT = 0.01  # of the lines missing at the end: before that much, the two counters agreed


@check(
    section="02",
    severity="medium",
    high="missing_ratio > high_ratio",
    subject="{sender}",
    because="at least {missing:number} of {accepted:number} accepted log lines are not stored{share}; since about {at:%H:%M:%S} UTC",
    at="at",
    guide=("C015", "C030", "C033"),
)
def what_is_accepted_is_stored(
    prom_lines_accepted, prom_lines_stored, *, max_ratio=0.02, high_ratio=0.1, min_lines=100
):
    """Of the log lines that were accepted during the incident, at most {max_ratio:percent} are not stored at its end.

    They wait in a queue, or are lost: the length of the queue shows which. Counted since the counters drifted apart; a step covers 5
    minutes, so that the last ones count in part. 100 lines and 10 % (high): choices of ours. The guide's review has 1 %, but a restart
    costs either counter up to one scrape.
    """
    table = lines_by_tenant(during(prom_lines_accepted), during(prom_lines_stored))
    found = [_missing(rows.sort_values("at")) for _, rows in table.groupby(TENANT)]
    rows = pd.concat([table.head(0).assign(missing=0.0, accepted=0.0, share=""), *found])
    ratio = rows.missing / rows.accepted.where(rows.accepted > 0)
    rows = rows.assign(missing_ratio=ratio, sender=_sender(rows))
    return rows[(ratio > max_ratio) & (rows.missing >= min_lines)].sort_values("missing", ascending=False)


def _missing(rows: pd.DataFrame) -> pd.DataFrame:
    """Of one tenant: the step since which stored lines fall behind, and by how many at the end. Without a counter of stored lines, all
    are missing.
    """
    step_s = rows["at"].diff().median().total_seconds() if len(rows) > 1 else 0.0
    accepted = rows.accepted_per_s.sum() * step_s
    known = rows.dropna(subset="stored_per_s")
    if known.empty:
        return rows.head(1).assign(missing=accepted, accepted=accepted, share=" (no counter of stored lines)")
    behind = ((known.accepted_per_s - known.stored_per_s) * step_s).cumsum()
    lowest = min(0.0, behind.min())
    missing = behind.iloc[-1] - lowest
    since = pd.concat([known.head(1), known[behind <= lowest + missing * DRIFT]]).tail(1)
    share = f" ({in_percent(missing / accepted)})" if accepted else ""
    return since.assign(missing=missing, accepted=accepted, share=share)


@check(
    section="02",
    severity="medium",
    critical="has_baseline",
    subject="{sender}",
    because="no log lines arrived from {at:%H:%M:%S} to {until:%H:%M:%S} UTC, nor in the minutes before; {usual}",
    at="at",
    baseline=True,
    guide=("C015", "C030"),
)
def log_lines_keep_coming(prom_lines_accepted, *, min_s=300):
    """No tenant that sends regularly is silent for {min_s:seconds}.

    A silent tenant can't reach the platform, or is rejected. A step covers 5 minutes, so that a silence lasts twice as long before it
    counts: 10 minutes, as in the guide's review. Critical where the baseline has no such silence, medium without a baseline.
    """
    lines = prom_lines_accepted.sort_values("at")
    found = [_silence(rows) for _, rows in lines.groupby(["window", *TENANT])]
    silences = pd.concat([lines.head(0).assign(until=lines["at"], silent_s=0.0, sent=False), *found])
    before = silences[silences.window == "baseline"].set_index(TENANT).silent_s.rename("before_s")
    rows = during(silences).join(before, on=TENANT)
    known = rows.before_s.notna()
    rows = rows.assign(
        sender=_sender(rows),
        has_baseline=known,
        usual=known.map({True: "the baseline has no such silence", False: "there is no baseline to compare with"}),
    )
    silent = (rows.silent_s >= min_s) & ~(rows.before_s >= min_s) & (known | rows.sent)
    return rows[silent].sort_values("silent_s", ascending=False)


def _silence(rows: pd.DataFrame) -> pd.DataFrame:
    """The longest silence of one tenant, as one row; `sent`: whether there were lines at all. Missing steps are no silence."""
    silent = rows.accepted_per_s == 0
    begins = rows["at"].groupby(runs(rows, state=silent)).transform("min")
    silent_s = (rows["at"] - begins).dt.total_seconds().where(silent, 0.0)
    longest = silent_s.idxmax()
    row = rows.loc[[longest]].rename(columns={"at": "until"})
    return row.assign(at=begins[longest], silent_s=silent_s[longest], sent=(~silent).any())


@check(
    section="02",
    severity="medium",
    subject="{sender}",
    because="log lines fell to {share:percent} of the baseline, {now_per_s:.2g}/s instead of {before_per_s:.2g}/s (limit"
    " {min_ratio:percent})",
    baseline=True,
    guide=("C030",),
)
def as_many_log_lines_come_as_before(prom_lines_accepted, *, min_ratio=0.5, min_lines=100):
    """Every tenant sends at least {min_ratio:percent} of the log lines of the baseline.

    Fewer are not a fault in themselves: a tenant may be idle. 50 %: the guide's review. A tenant with fewer than 100 expected lines (a
    choice of ours) is left out; without a baseline there is nothing to compare.
    """
    mean = prom_lines_accepted.groupby(["window", *TENANT]).accepted_per_s.mean()
    rows = during(prom_lines_accepted)
    length_s = (rows["at"].max() - rows["at"].min()).total_seconds()
    for window, name in (("incident", "now_per_s"), ("baseline", "before_per_s")):
        rows = rows.join(mean[mean.index.get_level_values("window") == window].droplevel(0).rename(name), on=TENANT)
    rows = rows.drop_duplicates(TENANT)
    rows = rows.assign(share=rows.now_per_s / rows.before_per_s, sender=_sender(rows))
    return rows[(rows.share < min_ratio) & (rows.before_per_s * length_s >= min_lines)].sort_values("share")


def _sender(rows: pd.DataFrame) -> pd.Series:
    """The tenant, or all of them where the counter has no label of it."""
    return ("tenant " + rows.tenant).mask(rows.tenant == "", "all tenants")
