"""Certificates of cert-manager: requested and issued."""

from nl_forensics.errors import NotServed
from nl_forensics.sources import Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import CERTIFICATES
from nl_forensics.sources.kubernetes.reading import (
    condition_columns,
    conditions_of,
    joined,
    listed,
    missing_is_false,
    named,
)
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "names": Column("str", "DNS names and IP addresses that it is for"),
        "secret": Column("str", "secret that stores it"),
        "issuer": Column("str", "kind and name of its issuer, such as `ClusterIssuer/letsencrypt`"),
        **condition_columns("ready", "Ready", "a valid certificate is stored in its secret"),
        **condition_columns("issuing", "Issuing", "it is being issued or renewed", only_if_it_holds=True),
        "not_before": Column(
            UTC,
            "start of the validity of the issued certificate",
            unknown="cert-manager has reported no issued certificate",
        ),
        "not_after": Column(
            UTC,
            "end of the validity of the issued certificate",
            unknown="cert-manager has reported no issued certificate",
        ),
        "renews_at": Column(UTC, "scheduled renewal", unknown="cert-manager has scheduled no renewal"),
        "revision": Column("Int64", "number of times that it was issued", absent="it was never issued"),
        "failed_attempts": Column("Int64", "failed issuances in a row; 0 after a success"),
        "last_failed_at": Column(UTC, "last failed issuance", absent="no issuance has failed since the last success"),
    },
    covers="now",
    parse=missing_is_false("issuing"),
    needs=Permission(kubernetes="get /apis; list certificates.cert-manager.io"),
    guide=("C061", "C062", "C063", "C065"),
)
def k8s_certificates(kubernetes, incident, platform):
    """One row per Certificate of cert-manager in scope; none where the cluster has no cert-manager, which is no gap.

    A certificate can be ready while its renewal fails.
    """
    known = kubernetes.groups()
    if CERTIFICATES.group not in known:
        yield Proof("the API groups were listed: this cluster has no cert-manager")
        return
    try:
        found = yield from listed(
            kubernetes, CERTIFICATES._replace(version=known[CERTIFICATES.group]), incident, platform
        )
    except NotServed:
        yield Proof("this cluster serves no certificates of cert-manager")
        return
    for one in found:
        yield record_of(one)


def record_of(one: dict) -> dict:
    """Of one Certificate."""
    spec, status = one["spec"], one.get("status") or {}
    issuer = spec.get("issuerRef") or {}
    return {
        **named(one),
        "names": joined([*(spec.get("dnsNames") or []), *(spec.get("ipAddresses") or [])])
        or spec.get("commonName", ""),
        "secret": spec.get("secretName", ""),
        "issuer": f"{issuer.get('kind', 'Issuer')}/{issuer.get('name', '')}",
        **conditions_of(one, "Ready", "ready"),
        **conditions_of(one, "Issuing", "issuing"),
        "not_before": status.get("notBefore"),
        "not_after": status.get("notAfter"),
        "renews_at": status.get("renewalTime"),
        "revision": status.get("revision"),
        "failed_attempts": status.get("failedIssuanceAttempts", 0),
        "last_failed_at": status.get("lastFailureTime"),
    }
