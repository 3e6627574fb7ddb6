"""Events, kept for an hour unless the API server is configured otherwise."""

from datetime import UTC as utc
from datetime import datetime, timedelta

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import EVENTS, PODS, is_inside

KEPT = timedelta(hours=1)  # --event-ttl of the API server, by default
SETTLED = timedelta(minutes=1)
NAMESPACE_OF_NODES = "default"  # where events about objects without a namespace are kept


@source(
    columns={
        "at": Column(UTC, "it last occurred"),
        "first_at": Column(UTC, "it first occurred"),
        "namespace": Column("str", "namespace of the object; empty for an object of the cluster"),
        "kind": Column("str", "kind of the object that it is about"),
        "name": Column("str", "name of the object"),
        "uid": Column("str", "UID of the object"),
        "container": Column("str", "container of the pod; empty if it is about the whole pod"),
        "type": Column("str", "`Normal` or `Warning`"),
        "reason": Column("str", "reason in one word"),
        "message": Column("str", "message"),
        "repeats": Column("Int64", "number of occurrences"),
        "component": Column("str", "component that reported it: `kubelet`, `default-scheduler`"),
        "node": Column("str", "node that it is about; empty if none"),
    },
    covers="ring",
    needs=Permission(kubernetes="list events", also_in=NAMESPACE_OF_NODES),
    guide=("C025", "C078", "C079", "C081", "C090", "C126", "C129"),
)
def k8s_events(kubernetes, incident, platform):
    """One row per event, newest first; a repeated event is one row.

    Events are best effort: the API server deletes them (after an hour unless --event-ttl is set), and drops them under load. Their absence
    does not prove that nothing happened.
    """
    wanted = incident.scope(platform)
    listing = kubernetes.objects(EVENTS, (*wanted, NAMESPACE_OF_NODES) if wanted else ())
    yield from listing.unseen
    records = [
        record for record in map(_record, listing.items) if is_inside(record["namespace"], wanted) or _of_all(record)
    ]
    yield from sorted(records, key=lambda record: record["at"], reverse=True)
    yield Proof(f"the list of events was answered: {len(records)} in scope")
    oldest = min((_moment(record["at"]) for record in records), default=now(kubernetes))
    if oldest > incident.start and (
        incident.start < now(kubernetes) - KEPT or _is_truncated(kubernetes, oldest, incident, wanted)
    ):
        remedy = "export events to a log store, or keep them longer (--event-ttl)"
        yield Partial(f"events before {oldest:%Y-%m-%d %H:%M:%S} UTC: none is kept", remedy)


def now(kubernetes) -> datetime:
    """By the clock of the API server."""
    return datetime.now(utc) + timedelta(seconds=kubernetes.clock.offset_s if kubernetes.clock else 0.0)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_truncated(kubernetes, oldest: datetime, incident, wanted: tuple[str, ...]) -> bool:
    """Whether a pod was made in the window, but before the oldest event: the event of its scheduling was deleted."""
    try:
        pods = kubernetes.objects(PODS, wanted).items
    except SourceError:
        return False
    made = (_moment(pod["metadata"]["creationTimestamp"]) for pod in pods)
    return any(incident.start <= at < oldest - SETTLED for at in made)


def _of_all(record: dict) -> bool:
    """Whether it is about an object without a namespace: a node, a volume, …"""
    return not record["namespace"]


def _record(one: dict) -> dict:
    """Of the old kind (firstTimestamp, lastTimestamp, count) or of the new one (eventTime, series): any may be null."""
    about, series = one.get("involvedObject") or {}, one.get("series") or {}
    created = one["metadata"]["creationTimestamp"]
    first = one.get("firstTimestamp") or one.get("eventTime") or created
    field = about.get("fieldPath", "")
    source_ = one.get("source") or {}
    return {
        "at": series.get("lastObservedTime") or one.get("lastTimestamp") or one.get("eventTime") or created,
        "first_at": first,
        "namespace": about.get("namespace") or "",
        "kind": about.get("kind", ""),
        "name": about.get("name", ""),
        "uid": about.get("uid", ""),
        "container": field.partition("{")[2].rstrip("}"),
        "type": one.get("type") or "",
        "reason": one.get("reason") or "",
        "message": one.get("message") or "",
        "repeats": series.get("count") or one.get("count") or 1,
        "component": source_.get("component") or one.get("reportingComponent") or "",
        "node": source_.get("host") or (about.get("name", "") if about.get("kind") == "Node" else ""),
    }
