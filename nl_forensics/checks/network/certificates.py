"""Rules about certificates: served ones are valid, match their name, are trusted, complete and current; cert-manager renews in time."""

import pandas as pd

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.sources.x509 import fits

MIN_BITS = {"RSA": 2048, "DSA": 2048, "EC": 256}
BROKEN_HASHES = ("md5", "sha1")


def _by_both_clocks(served: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The time of the check by the server's clock and by ours: (the earlier, the later). What both agree on is no clock error."""
    ours = served.asked_at - pd.to_timedelta(served.clock_offset_s.fillna(0), unit="s")
    return served.asked_at.where(served.asked_at < ours, ours), served.asked_at.where(served.asked_at > ours, ours)


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="certificate expired at {not_after:%Y-%m-%d %H:%M:%S} UTC, {ago_s:seconds} before the check",
    at="not_after",
    guide=("C061", "C064"),
)
def no_served_certificate_has_expired(probe_certificates):
    """No server serves an expired certificate.

    Every client that verifies certificates rejects it. Judged by the server's clock and by ours: both must agree.
    """
    earlier, _ = _by_both_clocks(probe_certificates)
    ago_s = (earlier - probe_certificates.not_after).dt.total_seconds()
    return probe_certificates.assign(ago_s=ago_s)[ago_s > 0]


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="certificate becomes valid only at {not_before:%Y-%m-%d %H:%M:%S} UTC, in {wait_s:seconds}",
    guide=("C064",),
)
def every_served_certificate_is_valid_already(probe_certificates):
    """Every server serves a certificate that is already valid.

    Judged by the server's clock and by ours: both must agree. Where they disagree, a clock is wrong (`clocks_agree`).
    """
    _, later = _by_both_clocks(probe_certificates)
    wait_s = (probe_certificates.not_before - later).dt.total_seconds()
    return probe_certificates.assign(wait_s=wait_s)[wait_s > 0]


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    high="left_ratio < high_left_ratio",
    because="certificate expires in {left_s:seconds}, at {not_after:%Y-%m-%d %H:%M} UTC; {left_ratio:percent} of its lifetime is left"
    " (limit {min_left_ratio:percent})",
    guide=("C061", "C064"),
)
def no_served_certificate_expires_soon(probe_certificates, *, min_left_ratio=0.2, high_left_ratio=0.1):
    """Every served certificate has {min_left_ratio:percent} of its lifetime left.

    cert-manager renews when a third is left, for lifetimes of 6 days as of a year: with less, renewal fails, or the server did not
    load the new one. High below {high_left_ratio:percent}. A fifth and a tenth: choices of ours.
    """
    earlier, _ = _by_both_clocks(probe_certificates)
    left_s = (probe_certificates.not_after - earlier).dt.total_seconds()
    life_s = (probe_certificates.not_after - probe_certificates.not_before).dt.total_seconds()
    rows = probe_certificates.assign(left_s=left_s, left_ratio=left_s / life_s)
    return rows[(rows.left_s > 0) & (rows.left_ratio < min_left_ratio)].sort_values("left_ratio")


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="certificate is for {shown}, not for {host}{default}",
    guide=("C064",),
)
def every_served_certificate_is_for_its_name(probe_certificates):
    """Every server serves a certificate for the requested name.

    A server without a certificate for the name serves its default one: an ingress without TLS for the host, or with a missing secret.
    It is recognised by requesting a name that does not exist.
    """
    rows = probe_certificates[~probe_certificates.fits_name]
    default = "; it is the server's default, which has no certificate for this name"
    names = rows.names.where(rows.names != "", "no name (its subject is " + rows.subject + ")")
    return rows.assign(default=rows.is_default.map({True: default, False: ""}), shown=names)


def _lacks_an_intermediate(served: pd.DataFrame) -> pd.Series:
    """The chain ends with the server's own certificate, which names an address of its issuer's."""
    alone = ~served.chain.str.contains(" < ", regex=False)
    return ~served.trusted & ~served.self_signed & alone & (served.issuer_url != "")


@check(
    section="04",
    severity="high",
    subject="{instance}: {url}",
    because="incomplete chain: the intermediate certificate {issuer} is missing; it is available at {issuer_url}",
    guide=("C064",),
)
def every_served_chain_is_complete(probe_certificates):
    """Every server serves all certificates between its own and a trusted authority.

    Browsers fetch or cache a missing intermediate, programs don't: it works in a browser and fails for services. Serve the full chain
    (`fullchain.pem`).
    """
    return probe_certificates[_lacks_an_intermediate(probe_certificates)]


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="certificate not trusted: {why}; {distrust}, checked from {asked_from}",
    guide=("C053", "C064"),
)
def every_served_certificate_is_trusted(probe_certificates):
    """Every served certificate chains to an authority that is trusted from here, whatever its dates and its name.

    A private authority is trusted where its certificate is installed: `SSL_CERT_FILE` names it for this check. A chain without its
    intermediate certificate has a rule of its own (`every_served_chain_is_complete`).
    """
    rows = probe_certificates[~probe_certificates.trusted & ~_lacks_an_intermediate(probe_certificates)]
    why = "its chain ends with the unknown authority " + rows.issuer
    why = why.mask(~rows.ends_in_root & ~rows.chain.str.contains(" < ", regex=False), "unknown issuer " + rows.issuer)
    return rows.assign(why=why.mask(rows.self_signed, "self-signed by " + rows.issuer))


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="weak certificate: {weakness}",
    guide=("C064",),
)
def every_served_certificate_is_strong(probe_certificates):
    """Every served certificate has a key of at least 2,048 bits (RSA; 256 for elliptic curves) and a signature without MD5 or SHA-1.

    NIST SP 800-131A disallows shorter keys and SHA-1.
    """
    min_bits = probe_certificates.key_kind.map(MIN_BITS).fillna(0)  # other kinds have no weak length
    weak_key = probe_certificates.key_bits < min_bits
    weak_hash = probe_certificates.signature.isin(BROKEN_HASHES)
    key = probe_certificates.key_kind + " key of " + probe_certificates.key_bits.astype("str") + " bits"
    weakness = key.mask(~weak_key, "signed with " + probe_certificates.signature)
    return probe_certificates.assign(weakness=weakness)[weak_key | weak_hash]


@check(
    section="04",
    severity="high",
    subject="{instance}: {url}",
    because="serves an old certificate, valid until {not_after:%Y-%m-%d %H:%M} UTC; Certificate {namespace}/{name} (revision {revision}) "
    "has one until {issued_until:%Y-%m-%d %H:%M} UTC, which the server has not loaded",
    guide=("C061", "C064"),
)
def every_served_certificate_is_the_newest(probe_certificates, k8s_certificates):
    """Every server serves the newest certificate that cert-manager has issued for its name.

    cert-manager renews the secret; a server that loads it only at its start serves the old one until it expires. Only names with a
    Certificate are judged.
    """
    issued = k8s_certificates[k8s_certificates.not_after.notna()].sort_values("not_after", ascending=False)
    rows = []
    for served in probe_certificates.to_dict("records"):
        is_for = [fits(tuple(names.split(", ")), served["host"]) for names in issued.names]
        mine = issued[pd.Series(is_for, index=issued.index, dtype=bool)]
        rows += [
            served
            | {"namespace": one.namespace, "name": one.name, "revision": one.revision, "issued_until": one.not_after}
            for one in mine.head(1).itertuples(index=False)
            if served["not_after"] < one.not_after
        ]
    return pd.DataFrame(rows, columns=[*probe_certificates.columns, "namespace", "name", "revision", "issued_until"])


@check(
    section="04",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="renewal overdue by {late_s:seconds}, due at {renews_at:%Y-%m-%d %H:%M:%S} UTC; valid until {not_after:%Y-%m-%d %H:%M} UTC",
    at="renews_at",
    guide=("C061", "C062", "C063", "C065"),
)
def every_certificate_is_renewed_in_time(k8s_certificates, *, max_late_ratio=0.1):
    """Every Certificate is renewed at most {max_late_ratio:percent} of its lifetime after its renewal time.

    A 90-day certificate is renewed after 60 days: 9 days later, three weeks are left to repair the renewal. A tenth: a choice of ours,
    which fits lifetimes of 6 days as of a year.
    """
    late_s = seconds_since(k8s_certificates.renews_at, k8s_certificates)
    life_s = (k8s_certificates.not_after - k8s_certificates.not_before).dt.total_seconds()
    rows = k8s_certificates.assign(late_s=late_s)
    return rows[late_s > max_late_ratio * life_s].sort_values("late_s", ascending=False)


@check(
    section="04",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{failed_attempts} failed attempts in a row to issue it, last at {last_failed_at:%Y-%m-%d %H:%M:%S} UTC; by {issuer}: {said}",
    at="last_failed_at",
    guide=("C061", "C062", "C063"),
)
def no_certificate_fails_to_be_issued(k8s_certificates, *, max_failures=1):
    """No Certificate has more than {max_failures:number} failed attempts to issue it in a row.

    It stays Ready while the old certificate is valid. cert-manager waits longer after each failure, up to 32 h. A single failure may be
    a busy authority: a choice of ours.
    """
    rows = k8s_certificates[k8s_certificates.failed_attempts > max_failures]
    return rows.assign(said=one_line(rows.issuing_message).replace("", "no message")).sort_values(
        "failed_attempts", ascending=False
    )
