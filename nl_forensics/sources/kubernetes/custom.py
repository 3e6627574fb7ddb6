"""Objects of kinds that others defined: tenants, certificates, backups, …"""

from nl_forensics.errors import NotServed, SourceError
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.kubernetes.kinds import CUSTOM
from nl_forensics.sources.kubernetes.reading import condition, condition_columns, conditions_of, joined, named, scope
from nl_forensics.sources.kubernetes.workloads import NAMED

RIGHTS = " ".join(kind.resource for kind in CUSTOM)


@source(
    columns={
        "group": "str",
        "kind": "str",
        **NAMED,
        "generation": "Int64",
        "observed_generation": "Int64",
        "phase": "str",
        **condition_columns("ready"),
        "failing": "str",
        "expires_at": UTC,
        "renews_at": UTC,
        "deletion_requested_at": UTC,
        "finalizers": "str",
        "spec_digest": "str",
    },
    nullable=(
        "generation",
        "observed_generation",
        "ready",
        "ready_at",
        "expires_at",
        "renews_at",
        "deletion_requested_at",
    ),
    covers="now",
    needs=Permission(kubernetes=f"get /apis; list {RIGHTS}"),
    guide=("C062", "C126"),
)
def k8s_custom(kubernetes, incident, platform):
    """One row per object of the kinds that are known to matter, where this cluster has them; kinds that it lacks are no gap.

    kind        as in an address: `tenants`, `certificates`
    phase       of the status, or its state; "" where it has none
    ready       its condition Ready (else Available or Programmed), null while there is none, with _reason, _message, _at
    failing     conditions that are False, `Synced: reason`
    expires_at, renews_at   of certificates
    spec_digest changes with what was asked for, which is not recorded
    """
    known, seen = kubernetes.groups(), []
    for kind in (kind for kind in CUSTOM if kind.group in known):
        try:
            listing = kubernetes.objects(kind._replace(version=known[kind.group]), scope(incident, platform))
        except NotServed:
            continue
        except SourceError as refused:
            yield Partial(f"{kind.resource}: {refused}", refused.closes)
            continue
        seen.append(kind.plural)
        yield from listing.unseen
        yield from (_record(kind, one) for one in listing.items)
    yield Proof(f"{len(known)} API groups were listed; kinds that are served: {joined(seen) or 'none of those known'}")


def _record(kind, one: dict) -> dict:
    metadata, status = one["metadata"], one.get("status") or {}
    told = next((name for name in ("Ready", "Available", "Programmed") if condition(one, name)), "Ready")
    failing = [each for each in status.get("conditions") or [] if each.get("status") == "False"]
    return {
        "group": kind.group,
        "kind": kind.plural,
        **named(one),
        "generation": metadata.get("generation"),
        "observed_generation": status.get("observedGeneration"),
        "phase": str(status.get("phase") or status.get("state") or ""),
        **conditions_of(one, told, "ready"),
        "failing": joined(f"{each['type']}: {each.get('reason', '')}" for each in failing),
        "expires_at": status.get("notAfter"),
        "renews_at": status.get("renewalTime"),
        "deletion_requested_at": metadata.get("deletionTimestamp"),
        "finalizers": joined(metadata.get("finalizers") or []),
        "spec_digest": one["specDigest"],
    }
