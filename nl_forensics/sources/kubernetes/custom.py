"""Objects of operator-defined kinds: tenants, certificates, backups, …"""

import pandas as pd

from nl_forensics.errors import NotServed, SourceError
from nl_forensics.sources import Partial, Permission, Proof, as_rows, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import CUSTOM, tenant_kind
from nl_forensics.sources.kubernetes.reading import condition, condition_columns, conditions_of, joined, named
from nl_forensics.sources.kubernetes.workloads import NAMED

RIGHTS = " ".join(kind.resource for kind in CUSTOM)

# Kinds without such a condition in their status: they have a phase or a state, conditions per parent, or no status at all.
WITHOUT_READY = (
    "acme.cert-manager.io/orders",
    "acme.cert-manager.io/challenges",
    "gateway.networking.k8s.io/httproutes",
    "monitoring.coreos.com/servicemonitors",
    "monitoring.coreos.com/podmonitors",
    "velero.io/backups",
    "postgresql.cnpg.io/backups",
)


def _objects(records: list[dict]) -> pd.DataFrame:
    rows = as_rows(records)
    return rows.assign(reports_ready=rows.ready.notna() | ~(rows.group + "/" + rows.kind).isin(WITHOUT_READY))


@source(
    columns={
        "group": Column("str", "API group"),
        "kind": Column("str", "kind as in an address of the API: `tenants`, `certificates`"),
        **NAMED,
        "generation": Column("Int64", "version of the spec", unknown="the API server does not number it"),
        "observed_generation": Column(
            "Int64",
            "version of the spec that the operator has processed",
            absent="operators of this kind may not report it",
        ),
        "phase": Column("str", "phase or state in its status; empty if it has none"),
        "reports_ready": Column("boolean", "objects of this kind have a condition that says whether they are ready"),
        **condition_columns("ready", "Ready", "it is ready"),
        "failing": Column("str", "conditions that are False, with their reasons: `Synced: reason`"),
        "expires_at": Column(
            UTC, "end of validity of a certificate", absent="no expiry is set: it is no issued certificate"
        ),
        "renews_at": Column(UTC, "scheduled renewal of a certificate", absent="no renewal is scheduled"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "finalizers": Column("str", "finalizers that block its deletion"),
        "spec_digest": Column("str", "digest of its spec, which is not recorded"),
    },
    covers="now",
    needs=Permission(kubernetes=f"get /apis; list {RIGHTS}"),
    parse=_objects,
    guide=("C062", "C126"),
)
def k8s_custom(kubernetes, incident, platform):
    """One row per object of the operator-defined kinds that matter, where this cluster serves them; kinds that it lacks are no gap.

    Readiness is the condition Ready, else Available or Programmed.
    """
    known, seen = kubernetes.groups(), []
    tenants = tenant_kind(platform.tenants) if platform.tenants else None
    for kind in (kind for kind in CUSTOM if kind.group in known):
        kind = tenants if tenants and kind.resource == tenants.resource else kind
        try:
            listing = kubernetes.objects(kind._replace(version=known[kind.group]), incident.scope(platform))
        except NotServed:
            continue
        except SourceError as refused:
            yield Partial(f"{kind.resource}: {refused}", refused.remedy)
            continue
        seen.append(kind.plural)
        yield from listing.unseen
        yield from (_record(kind, one) for one in listing.items)
    yield Proof(f"{len(known)} API groups were listed; kinds that are served: {joined(seen) or 'none of those known'}")


def _record(kind, one: dict) -> dict:
    metadata, status = one["metadata"], one.get("status") or {}
    condition_name = next((name for name in ("Ready", "Available", "Programmed") if condition(one, name)), "Ready")
    failing = [each for each in status.get("conditions") or [] if each.get("status") == "False"]
    return {
        "group": kind.group,
        "kind": kind.plural,
        **named(one),
        "generation": metadata.get("generation"),
        "observed_generation": status.get("observedGeneration"),
        "phase": str(status.get("phase") or status.get("state") or ""),
        **conditions_of(one, condition_name, "ready"),
        "failing": joined(f"{each['type']}: {each.get('reason', '')}" for each in failing),
        "expires_at": status.get("notAfter"),
        "renews_at": status.get("renewalTime"),
        "deletion_requested_at": metadata.get("deletionTimestamp"),
        "finalizers": joined(metadata.get("finalizers") or []),
        "spec_digest": one["specDigest"],
    }
