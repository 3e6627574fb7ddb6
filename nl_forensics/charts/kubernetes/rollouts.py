"""Change: what was rolled out or written, against the first symptom."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, moment, named
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.charts.time_axis import LEAD
from nl_forensics.facts.kubernetes.field_managers import CONTROLLERS
from nl_forensics.facts.kubernetes.revisions import WORKLOAD, revisions, symptoms, what_changed
from nl_forensics.sources import UTC

ROLLED_OUT, CONFIGURED, SYMPTOM = (
    "rolled out",
    "config map changed",
    "first symptom",
)
KINDS = (ROLLED_OUT, CONFIGURED, SYMPTOM)
MADE, CHANGED = "created", "changed"
MAX_REVISIONS = 20


@chart("Rollouts and the first symptoms after them")
def rollouts(canvas: Canvas, k8s_replica_sets, k8s_controller_revisions, k8s_containers, k8s_pods, *, k8s_config_maps):
    """Rollouts and config maps of each workload on one axis with its first symptom: what came before it is a suspect."""
    changed = revisions(k8s_replica_sets, k8s_controller_revisions)
    changed = changed[changed["before_revision"].notna() & _is_near(canvas, changed["created_at"])]
    wrong = symptoms(k8s_containers, k8s_pods)
    marks = [
        changed.assign(at=changed["created_at"], kind=ROLLED_OUT, text=_rolled_out(changed)),
        _configured(canvas, k8s_config_maps, k8s_pods),
        _first(wrong).assign(kind=SYMPTOM),
    ]
    parts = [part.reindex(columns=[*WORKLOAD, "at", "until", "kind", "text"]) for part in marks]
    rows = pd.concat([part.astype({"at": UTC, "until": UTC}) for part in parts])
    if rows.empty:
        return canvas.say(f"Nothing was rolled out around the incident, and no pod has a symptom, {asked(k8s_pods)}.")
    rows = rows.assign(name=named(rows, "namespace", "workload"), troubled=rows["kind"] == SYMPTOM).sort_values(
        "at", kind="stable"
    )
    order = sorted(rows.groupby("name"), key=_suspect)
    tracks = {
        f"{name}: {'; '.join(part.sort_values('troubled', ascending=False, kind='stable')['text'])}": part
        for name, part in order
    }
    canvas.marks(tracks, KINDS)
    counts = f"Rollouts around the incident: {len(changed)}, workloads with symptoms: {rows['troubled'].sum()}"
    return f"{counts}. {listed(tracks)}; {asked(k8s_pods)}."


def _suspect(group: tuple[str, pd.DataFrame]) -> tuple:
    """First those that were changed and have a symptom, then those with a symptom, then the newest."""
    name, rows = group
    troubled = rows["troubled"]
    return troubled.all() or not troubled.any(), not troubled.any(), -rows["at"].max().value, name


def _is_near(canvas: Canvas, at: pd.Series) -> pd.Series:
    return at.between(canvas.incident.start - LEAD, canvas.incident.end + LEAD)


def _rolled_out(changed: pd.DataFrame) -> list[str]:
    return [
        f"revision {row.revision} at {row.created_at:%H:%M:%S}, {what_changed(row)}" for row in changed.itertuples()
    ]


def _configured(canvas: Canvas, k8s_config_maps: pd.DataFrame | None, k8s_pods: pd.DataFrame) -> pd.DataFrame:
    """A mark for each workload that reads a config map which was changed after it had been made."""
    if k8s_config_maps is None:
        return pd.DataFrame()
    readers = (
        k8s_pods.assign(name=k8s_pods["config_maps"].str.split(", "))
        .explode("name")
        .drop_duplicates([*WORKLOAD, "name"])
    )
    edited = k8s_config_maps[k8s_config_maps["changed_at"] > k8s_config_maps["created_at"]]
    edited = edited[_is_near(canvas, edited["changed_at"])]
    rows = edited.merge(readers[[*WORKLOAD, "name"]], on=["instance", "namespace", "name"])
    text = [f"{row.name} by {row.changed_by} at {row.changed_at:%H:%M:%S}" for row in rows.itertuples(index=False)]
    return rows.assign(at=rows["changed_at"], kind=CONFIGURED, text=text)


def _first(wrong: pd.DataFrame) -> pd.DataFrame:
    """The first symptom of each workload."""
    rows = wrong.sort_values("symptom_at", kind="stable").drop_duplicates(WORKLOAD)
    text = [f"{row.symptom}, since {row.symptom_at:%H:%M:%S}" for row in rows.itertuples()]
    return rows.assign(at=rows["symptom_at"], until=rows["over_at"], text=text)


@chart("Changes to Kubernetes objects")
def changes(canvas: Canvas, k8s_changes):
    """The last write of each program to each object around the incident, by program. Kubernetes' own controllers are left out."""
    rows = k8s_changes[~k8s_changes["manager"].str.match(CONTROLLERS) & k8s_changes["at"].notna()]
    rows = rows[_is_near(canvas, rows["at"])]
    if rows.empty:
        return canvas.say(f"Nothing was written around the incident but by Kubernetes itself, {asked(k8s_changes)}.")
    rows = rows.assign(kind_of=rows["kind"], kind=rows["is_creation"].map({True: MADE, False: CHANGED}))
    newest = sorted(rows.groupby(named(rows, "manager")), key=lambda group: -group[1]["at"].max().value)
    tracks = {f"{manager}: {_written(part)}": part for manager, part in newest}
    canvas.marks(tracks, (CHANGED, MADE))
    return f"{len(rows)} writes by {len(tracks)} programs. {listed(tracks, 4)}; {asked(rows)}."


def _written(rows: pd.DataFrame) -> str:
    last = rows.loc[rows["at"].idxmax()]
    what = f"{last['kind']} {last['kind_of']} {last['namespace']} {last['name']} ({last['fields']})".replace("  ", " ")
    return f"{len(rows)} writes, the last at {moment(last['at'])}: {what}"


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
