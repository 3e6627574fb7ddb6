"""What one meets on the way to an address, from where we stand: each hop, and the certificate that is served."""

import pandas as pd

from nl_forensics.sources import UTC, Partial, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.x509 import fits, read


@source(
    columns={
        "url": Column("str", "probed address"),
        "attempt": Column("Int64", "number of the attempt, from 1"),
        "hop": Column("str", "`dns` (as clients of this machine resolve names), `tcp`, `tls` or `http` (one GET)"),
        "address": Column("str", "IP address of the connection; for `dns`: all addresses of the name"),
        "answered": Column("boolean", "the hop succeeded"),
        "why": Column("str", "reason of the failure; empty if it succeeded"),
        "took_ms": Column("float64", "duration of this hop alone"),
        "asked_from": Column(
            "str",
            "place of the probe: `a pod` or `a machine outside of the cluster`; name, route and certificate can differ by place",
        ),
    },
    covers="now",
    guide=("C051", "C052", "C053", "C060"),
)
def probe_hops(probe):
    """Hops of each attempt to fetch an address: three attempts, or one for each of its addresses if these are more; one row per hop.

    After a failed hop there are no more. What only a pod can see (its own name servers, network policies, proxies) is not visible from
    outside."""
    yield from probe.hops()


@source(
    columns={
        "url": Column("str", "probed address"),
        "attempt": Column("Int64", "number of the attempt, from 1"),
        "address": Column("str", "IP address of the connection"),
        "status": Column("Int64", "HTTP status"),
        "leads_to": Column("str", "host that a redirect leads to; redirects are not followed"),
        "asked_from": Column(
            "str",
            "place of the probe: `a pod` or `a machine outside of the cluster`; name, route and certificate can differ by place",
        ),
    },
    covers="now",
    guide=("C051", "C060", "C131"),
)
def probe_answers(probe):
    """HTTP responses; one row per attempt that was answered."""
    for hop in probe.hops():
        if not hop["answered"]:
            yield Partial(
                f"attempt {hop['attempt']} had no answer: {hop['hop']}: {hop['why']}", "see the hops of this address"
            )
        elif hop["hop"] == "http":
            yield hop


@source(
    columns={
        "url": Column("str", "probed address"),
        "clock_offset_s": Column(
            "float64", "clock of the server minus ours, by the Date header of its response, which has whole seconds"
        ),
        "clock_error_s": Column("float64", "uncertainty of the offset: half a second, and half of the round trip"),
        "asked_from": Column(
            "str",
            "place of the probe: `a pod` or `a machine outside of the cluster`; name, route and certificate can differ by place",
        ),
    },
    covers="now",
    guide=("C064",),
)
def probe_clock(probe):
    """Clock of the server; one row per address that sends a Date header."""
    hops = list(probe.hops())
    if clock := probe.clock:
        where = {name: hops[-1][name] for name in ("url", "asked_from")}
        yield where | {"clock_offset_s": clock.offset_s, "clock_error_s": clock.error_s}


def _certificates(records: list[dict]) -> pd.DataFrame:
    return pd.DataFrame.from_records([_certificate(record) for record in records])


def _certificate(record: dict) -> dict:
    served = read(record["chain"])
    told = served._asdict() | {"names": ", ".join(served.names), "chain": " < ".join(served.chain)}
    for_nobody = [read([one]).fingerprint for one in record["for_nobody"]]
    judged = {
        "fits_name": fits(served.names, record["host"]),
        "trusted": not record["distrust"],
        "accepted": not record["why_not"],
        "is_default": served.fingerprint in for_nobody,
    }
    return record | told | judged


@source(
    columns={
        "url": Column("str", "probed address"),
        "host": Column("str", "host of the address"),
        "address": Column("str", "IP address of the connection"),
        "subject": Column("str", "subject of the server's certificate"),
        "names": Column("str", "DNS names and IP addresses that the certificate is valid for"),
        "serial": Column("str", "serial number"),
        "fingerprint": Column("str", "SHA-256 fingerprint"),
        "not_before": Column(UTC, "start of its validity"),
        "not_after": Column(UTC, "end of its validity"),
        "key_kind": Column("str", "kind of its key: `RSA`, `EC`, …"),
        "key_bits": Column("Int64", "length of its key"),
        "signature": Column("str", "hash algorithm of its signature: `sha256`"),
        "self_signed": Column("boolean", "the certificate is signed by its own key"),
        "chain": Column(
            "str",
            "subjects from the server's certificate upwards, as far as the served certificates lead: `api.neurallog.com < R11`",
        ),
        "ends_in_root": Column("boolean", "the last certificate of the chain is self-signed"),
        "issuer": Column("str", "issuer of the last certificate of the chain"),
        "issuer_url": Column("str", "address of the issuer certificate, as the server certificate names it"),
        "fits_name": Column("boolean", "the certificate is valid for the host of the address"),
        "trusted": Column(
            "boolean", "the chain leads to an authority that this machine trusts, regardless of names and dates"
        ),
        "distrust": Column("str", "reason why it is not trusted; empty if it is"),
        "accepted": Column("boolean", "a client on this machine accepts it now, by our clock"),
        "why_not": Column("str", "first objection of OpenSSL; empty if it is accepted"),
        "is_default": Column("boolean", "the server serves the same certificate for an unknown name"),
        "clock_offset_s": Column(
            "float64",
            "clock of the server minus ours",
            unknown="the response had no Date header, or there was no response",
        ),
        "asked_from": Column(
            "str",
            "place of the probe: `a pod` or `a machine outside of the cluster`; name, route and certificate can differ by place",
        ),
    },
    covers="now",
    parse=_certificates,
    guide=("C053", "C061", "C064", "C065"),
)
def probe_certificates(probe):
    """Served certificate of each TLS address, and the verdict of a client that verifies it; one row per address.

    Key, signature and names are those of the server's own certificate. The records hold the certificates themselves, as PEM."""
    if probe.target.scheme == "http":
        yield Proof("the address is one of plain HTTP: there is no certificate")
        return
    yield probe.certificate()
