"""Certificates of cert-manager: what it was asked for, and what it has."""

from nl_forensics.errors import NotServed
from nl_forensics.sources import UTC, Permission, Proof, source
from nl_forensics.sources.kubernetes.kinds import CERTIFICATES
from nl_forensics.sources.kubernetes.reading import condition_columns, conditions_of, joined, listed, named
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "names": "str",
        "secret": "str",
        "issuer": "str",
        **condition_columns("ready"),
        **condition_columns("issuing"),
        "not_before": UTC,
        "not_after": UTC,
        "renews_at": UTC,
        "revision": "Int64",
        "failed_attempts": "Int64",
        "last_failed_at": UTC,
    },
    nullable=(
        "ready",
        "ready_at",
        "issuing",
        "issuing_at",
        "not_before",
        "not_after",
        "renews_at",
        "revision",
        "last_failed_at",
    ),
    covers="now",
    needs=Permission(kubernetes="get /apis; list certificates.cert-manager.io"),
    guide=("C061", "C062", "C063", "C065"),
)
def k8s_certificates(kubernetes, incident, platform):
    """One row per Certificate of cert-manager in scope; none where the cluster has no cert-manager, which is no gap.

    names        that it is for; secret: where it is kept; issuer: `ClusterIssuer/letsencrypt`
    ready, issuing   its conditions, null while there is none, with _reason, _message, _at: it can be ready while a renewal fails
    not_before, not_after   of the certificate that it has, null before the first; renews_at: when it is to be renewed
    revision     how often it was issued
    failed_attempts   in a row, 0 after a success; last_failed_at: null when none failed
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
