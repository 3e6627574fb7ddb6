"""Certificates of cert-manager. It is not to be had here: what it would write into their status is written by us."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import SYSTEM, home, thing
from tests.record.specimens import specimen

CERTIFICATES = ("k8s_certificates",)
GROUP = "cert-manager.io"


def definition():
    """The kind Certificate, without its schema."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    version["schema"] = {"openAPIV3Schema": schema}
    names = {"kind": "Certificate", "listKind": "CertificateList", "plural": "certificates", "singular": "certificate"}
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    return thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"certificates.{GROUP}", spec=spec)


def certificate(*names):
    issuer = {"kind": "ClusterIssuer", "name": "letsencrypt"}
    spec = {"dnsNames": list(names), "secretName": "api-tls", "issuerRef": issuer}
    return thing(f"{GROUP}/v1", "Certificate", "api", SYSTEM, spec=spec)


def moment(days):
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def issued(days_ago, life_days=90, **more):
    """The status of one that was issued so many days ago."""
    left = life_days - days_ago
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "Certificate is up to date"}
    return {
        "notBefore": moment(-days_ago),
        "notAfter": moment(left),
        "renewalTime": moment(left - life_days / 3),
        "revision": 3,
        **more,
        "conditions": [ready | {"lastTransitionTime": moment(-days_ago)}, *more.get("conditions", [])],
    }


def issuing_failed(attempts, days_ago=0.1):
    """What a status has, too, where the last attempts to get a new one failed."""
    said = "The certificate request has failed to complete and will be retried: Failed to wait for order resource to become ready"
    at = moment(-days_ago)
    issuing = {"type": "Issuing", "status": "False", "reason": "Failed", "message": said, "lastTransitionTime": at}
    return {"failedIssuanceAttempts": attempts, "lastFailureTime": at, "conditions": [issuing]}


def have(server, status, *names):
    """Let the cluster have one certificate, in that state."""
    home(server)
    server.apply(definition())
    server.wait("CustomResourceDefinition", f"certificates.{GROUP}", until=lambda seen: _is_served(seen))
    server.apply(certificate(*names))
    server.patch("Certificate", "api", {"status": status}, SYSTEM, subresource="/status")


def _is_served(seen):
    conditions = seen.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@specimen("every_certificate_is_renewed_in_time", sources=CERTIFICATES)
@contextmanager
def certificate_not_renewed(server):
    """It was to be renewed after 60 days, and is 75 days old."""
    have(server, issued(75), "api.neurallog.example")
    yield


@specimen("no_certificate_fails_to_be_issued", sources=CERTIFICATES)
@contextmanager
def certificate_renewal_fails(server):
    have(server, issued(61, **issuing_failed(attempts=4)), "api.neurallog.example")
    yield
