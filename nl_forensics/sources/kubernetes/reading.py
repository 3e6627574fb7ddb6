"""Shared by the modules of this package: lists in scope, and parsing of common fields."""

from collections.abc import Callable, Generator, Iterable

import pandas as pd

from nl_forensics.sources import Partial, Proof, as_rows
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import Kind

SUFFIXES = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}


def listed(kubernetes, kind: Kind, incident, platform) -> Generator[Partial | Proof, None, list[dict]]:
    """Return the objects in scope, and yield the gaps, and the proof that an empty list is complete."""
    listing = kubernetes.objects(kind, incident.scope(platform))
    yield from listing.unseen
    where = ", ".join(incident.scope(platform)) or "all namespaces" if kind.namespaced else "the cluster"
    yield Proof(f"the list of {kind.plural} was answered: {len(listing.items)} in {where}")
    return listing.items


def named(one: dict) -> dict:
    """The columns that identify the object of a row."""
    metadata = one["metadata"]
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "created_at": metadata.get("creationTimestamp"),
    }


def condition(one: dict, kind: str) -> dict:
    """One of the conditions in the status; {} when it has none."""
    conditions = (one.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})


def conditions_of(one: dict, kind: str, prefix: str) -> dict:
    """A condition as four columns: `ready` (null: Unknown or missing), `ready_reason`, `ready_message`, `ready_at` (null: missing)."""
    found = condition(one, kind)
    status = {"True": True, "False": False}.get(found.get("status", ""))
    return {
        prefix: status,
        f"{prefix}_reason": found.get("reason", ""),
        f"{prefix}_message": found.get("message", ""),
        f"{prefix}_at": found.get("lastTransitionTime"),
    }


def condition_columns(
    prefix: str, condition: str, meaning: str, *, only_if_it_holds: bool = False
) -> dict[str, Column]:
    """The columns of a condition, by what a missing one says.

    Most controllers report a condition as soon as they have processed the object: a missing one is not known yet. Some add it
    `only_if_it_holds`, and a missing one does not hold; `missing_is_false` then makes it false. Status `Unknown` is never known.
    """
    not_known = f"the condition {condition} has status Unknown" + (
        "" if only_if_it_holds else ", or is not reported yet"
    )
    changed = f"the condition {condition} last changed"
    since = (
        Column(UTC, changed, absent=f"there is no condition {condition}")
        if only_if_it_holds
        else Column(UTC, changed, unknown=f"the condition {condition} is not reported yet")
    )
    return {
        prefix: Column("boolean", meaning, unknown=not_known),
        f"{prefix}_reason": Column("str", f"reason of the condition {condition}, in one word"),
        f"{prefix}_message": Column("str", f"message of the condition {condition}"),
        f"{prefix}_at": since,
    }


def missing_is_false(*prefixes: str) -> Callable[[list[dict]], pd.DataFrame]:
    """Parse records with conditions that are reported only if they hold: a missing one has neither reason nor time."""

    def parse(records: list[dict]) -> pd.DataFrame:
        return as_rows([record | {name: False for name in prefixes if _is_missing(record, name)} for record in records])

    return parse


def _is_missing(record: dict, prefix: str) -> bool:
    return record.get(prefix) is None and record.get(f"{prefix}_at") is None and not record.get(f"{prefix}_reason")


def quantity(text) -> float | None:
    """`500m`, `1.5Gi`, `1e3` as a number; null if not set. Ours, as importing the client's parser takes 0.4 s."""
    if text is None:
        return None
    text = str(text)
    digits = text.rstrip("numkKMGTPEi")
    return float(digits) * SUFFIXES[text[len(digits) :]]


def whole(text) -> int | None:
    """The same for bytes and counts."""
    number = quantity(text)
    return None if number is None else round(number)


def joined(items: Iterable, separator: str = ", ") -> str:
    return separator.join(str(item) for item in items)


def pairs(mapping: dict | None) -> str:
    """Labels: `app=api,tier=front`, in alphabetical order."""
    return joined((f"{key}={value}" for key, value in sorted((mapping or {}).items())), ",")


def matches(selector: dict | None, labels: dict | None) -> bool:
    """Whether labels fulfil a label selector; an empty selector selects all, a missing one selects none."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_fulfils(one, labels) for one in selector.get("matchExpressions") or [])


def _fulfils(expression: dict, labels: dict) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]


def owner(one: dict) -> dict:
    """Its controlling owner: {"kind": …, "name": …}; {} if none."""
    references = one["metadata"].get("ownerReferences") or []
    return next((each for each in references if each.get("controller")), {})


def workload(pod: dict) -> tuple[str, str]:
    """(kind, name) of what a pod belongs to: the deployment rather than its replica set."""
    above, labels = owner(pod), pod["metadata"].get("labels") or {}
    if not above:
        return "Pod", pod["metadata"]["name"]
    suffix = f"-{labels.get('pod-template-hash', '')}"
    if above["kind"] == "ReplicaSet" and above["name"].endswith(suffix) and len(suffix) > 1:
        return "Deployment", above["name"].removesuffix(suffix)
    return above["kind"], above["name"]


def all_containers(spec: dict) -> list[tuple[str, dict]]:
    """(kind, container) of a pod's spec; an init container that keeps running is a sidecar."""
    first = spec.get("initContainers") or []
    return [
        *(("sidecar" if one.get("restartPolicy") == "Always" else "init", one) for one in first),
        *(("container", one) for one in spec.get("containers") or []),
        *(("ephemeral", one) for one in spec.get("ephemeralContainers") or []),
    ]


def needed(spec: dict, resource: str, amount: str = "requests") -> float:
    """What the scheduler counts for a pod: its containers and sidecars, or the largest init container if that is more."""
    lasting = starting = 0.0
    for kind, container in all_containers(spec):
        asked = quantity(((container.get("resources") or {}).get(amount) or {}).get(resource)) or 0.0
        if kind == "init":
            starting = max(starting, lasting + asked)
        else:
            lasting += asked
    return max(starting, lasting) + (quantity((spec.get("overhead") or {}).get(resource)) or 0.0)
