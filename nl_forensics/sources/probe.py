"""What one meets on the way to an address, from where we stand: each hop, and the certificate that is served."""

import pandas as pd

from nl_forensics.sources import UTC, Partial, Proof, source
from nl_forensics.sources.x509 import fits, read


@source(
    columns={
        "url": "str",
        "attempt": "Int64",
        "hop": "str",
        "address": "str",
        "answered": "boolean",
        "why": "str",
        "took_ms": "float64",
        "asked_from": "str",
    },
    covers="now",
    guide=("C051", "C052", "C053", "C060"),
)
def probe_hops(probe):
    """One row per hop of each attempt to fetch an address: three attempts, or one for each of its addresses if that is more.

    hop             `dns` (as clients here look names up), `tcp`, `tls`, `http` (one GET); after one that failed there are no more
    address         that was connected to; of `dns`: all that the name has
    answered        whether the hop was done; why: what went wrong, "" when nothing
    took_ms         of this hop alone, milliseconds
    asked_from      where we stand: another place can see another name, route and certificate

    What only a pod could see (its own name servers, network policies, proxies) is not seen from outside.
    """
    yield from probe.hops()


@source(
    columns={
        "url": "str",
        "attempt": "Int64",
        "address": "str",
        "status": "Int64",
        "leads_to": "str",
        "asked_from": "str",
    },
    covers="now",
    guide=("C051", "C060", "C131"),
)
def probe_answers(probe):
    """One row per attempt that was answered over HTTP: its status, and leads_to, the host of a redirect, which is not followed."""
    for hop in probe.hops():
        if not hop["answered"]:
            yield Partial(
                f"attempt {hop['attempt']} had no answer: {hop['hop']}: {hop['why']}", "see the hops of this address"
            )
        elif hop["hop"] == "http":
            yield hop


@source(
    columns={"url": "str", "clock_offset_s": "float64", "clock_error_s": "float64", "asked_from": "str"},
    covers="now",
    guide=("C064",),
)
def probe_clock(probe):
    """One row per address that told its time: its clock minus ours, seconds, by the Date of its answer, which has whole seconds.

    clock_error_s   by how much that can be wrong: half a second, and half of the way
    """
    hops = list(probe.hops())
    if clock := probe.measured_clock():
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
        "url": "str",
        "host": "str",
        "address": "str",
        "subject": "str",
        "names": "str",
        "serial": "str",
        "fingerprint": "str",
        "not_before": UTC,
        "not_after": UTC,
        "key_kind": "str",
        "key_bits": "Int64",
        "signature": "str",
        "self_signed": "boolean",
        "chain": "str",
        "ends_in_root": "boolean",
        "issuer": "str",
        "issuer_url": "str",
        "fits_name": "boolean",
        "trusted": "boolean",
        "distrust": "str",
        "accepted": "boolean",
        "why_not": "str",
        "is_default": "boolean",
        "clock_offset_s": "float64",
        "asked_from": "str",
    },
    nullable=("clock_offset_s",),
    covers="now",
    parse=_certificates,
    guide=("C053", "C061", "C064", "C065"),
)
def probe_certificates(probe):
    """One row per address that speaks TLS: the certificate that it serves, and what a client that verifies would say.

    names, key_kind, key_bits, signature   of the server's own certificate: `EC`, 256, `sha256`
    self_signed   it vouches for itself
    chain         subjects from the server's certificate upwards, as far as what was served leads: `api.neurallog.com < R11`
    ends_in_root, issuer   of the last one of the chain; issuer_url: where the server's certificate says that its issuer's can be had
    fits_name     it is for the host of the address
    trusted       it leads to an authority that is trusted here, whatever its name and dates; distrust: why not
    accepted      a client of here would accept it today, by our clock; why_not: the first thing that OpenSSL says against it
    is_default    the same is served for a name that nobody has
    clock_offset_s   the server's clock minus ours, null where it is not known

    The records hold the certificates themselves, as PEM.
    """
    if probe.target.scheme == "http":
        yield Proof("the address is one of plain HTTP: there is no certificate")
        return
    yield probe.certificate()
