"""Rules about certificates: what a server serves is valid, for its name, trusted, whole and the newest; cert-manager renews in time."""

import pandas as pd

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.sources.x509 import fits

FEWEST_BITS = {"RSA": 2048, "DSA": 2048, "EC": 256}
BROKEN_HASHES = ("md5", "sha1")


def _by_both_clocks(served: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The moment of asking by the server's clock and by ours: (the earlier, the later). What both say is no fault of a clock."""
    ours = served.asked_at - pd.to_timedelta(served.clock_offset_s.fillna(0), unit="s")
    return served.asked_at.where(served.asked_at < ours, ours), served.asked_at.where(served.asked_at > ours, ours)


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="serves a certificate that expired at {not_after:%Y-%m-%d %H:%M:%S} UTC, {ago_s:seconds} before it was asked for",
    at="not_after",
    guide=("C061", "C064"),
)
def no_served_certificate_has_expired(probe_certificates):
    """No server serves a certificate that has expired.

    Every client that verifies refuses it. Judged by the server's clock and by ours: both must say so.
    """
    earlier, _ = _by_both_clocks(probe_certificates)
    ago_s = (earlier - probe_certificates.not_after).dt.total_seconds()
    return probe_certificates.assign(ago_s=ago_s)[ago_s > 0]


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="serves a certificate that is valid from {not_before:%Y-%m-%d %H:%M:%S} UTC on, in {wait_s:seconds}",
    guide=("C064",),
)
def every_served_certificate_is_valid_already(probe_certificates):
    """Every server serves a certificate whose time has begun.

    Judged by the server's clock and by ours: both must say so. Where only one does, a clock is wrong (`clocks_agree`).
    """
    _, later = _by_both_clocks(probe_certificates)
    wait_s = (probe_certificates.not_before - later).dt.total_seconds()
    return probe_certificates.assign(wait_s=wait_s)[wait_s > 0]


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="serves a certificate of which {left_ratio:percent} are left (limit {min_left_ratio:percent}): "
    "it expires at {not_after:%Y-%m-%d %H:%M} UTC, in {left_s:seconds}",
    guide=("C061", "C064"),
)
def no_served_certificate_expires_soon(probe_certificates, *, min_left_ratio=0.2, urgent_left_ratio=0.1):
    """Every served certificate has {min_left_ratio:percent} of its lifetime left.

    cert-manager renews when a third is left, whether it lives for 6 days or for a year: with less, renewal fails, or the server did not
    read the new one. High below {urgent_left_ratio:percent}. A fifth and a tenth: choices of ours.
    """
    earlier, _ = _by_both_clocks(probe_certificates)
    left_s = (probe_certificates.not_after - earlier).dt.total_seconds()
    life_s = (probe_certificates.not_after - probe_certificates.not_before).dt.total_seconds()
    rows = probe_certificates.assign(left_s=left_s, left_ratio=left_s / life_s)
    rows["severity"] = (rows.left_ratio < urgent_left_ratio).map({True: "high", False: "medium"})
    return rows[(rows.left_s > 0) & (rows.left_ratio < min_left_ratio)].sort_values("left_ratio")


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="serves a certificate for {shown}, not for {host}{default}",
    guide=("C064",),
)
def every_served_certificate_is_for_its_name(probe_certificates):
    """Every server serves a certificate for the name by which it is asked.

    Where it is the one that is served for a name that nobody has, the server knows no certificate for this name and took its default:
    an ingress without TLS for the host, or with a secret that is missing.
    """
    rows = probe_certificates[~probe_certificates.fits_name]
    said = ", which is what it serves for a name that nobody has: it knows no certificate for this one"
    names = rows.names.where(rows.names != "", "no name (its subject is " + rows.subject + ")")
    return rows.assign(default=rows.is_default.map({True: said, False: ""}), shown=names)


def _lacks_an_intermediate(served: pd.DataFrame) -> pd.Series:
    """The chain ends with the server's own certificate, which says where that of its issuer can be had."""
    alone = ~served.chain.str.contains(" < ", regex=False)
    return ~served.trusted & ~served.self_signed & alone & (served.issuer_url != "")


@check(
    section="04",
    severity="high",
    subject="{instance}: {url}",
    because="serves its own certificate alone: that of its issuer {issuer} is missing (it can be had at {issuer_url})",
    guide=("C064",),
)
def every_served_chain_is_complete(probe_certificates):
    """Every server serves the certificates between its own and an authority that is trusted.

    Browsers fetch or remember what is missing, programs don't: it works for the one who looks, and for no service. Use the full chain
    (`fullchain.pem`).
    """
    return probe_certificates[_lacks_an_intermediate(probe_certificates)]


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="serves a certificate that is not trusted: {why} (asked from {asked_from})",
    guide=("C053", "C064"),
)
def every_served_certificate_is_trusted(probe_certificates):
    """Every served certificate leads to an authority that is trusted where we stand, whatever its dates and its name.

    An authority of one's own is trusted where its certificate is known: `SSL_CERT_FILE` names it for us. A chain that lacks an
    intermediate certificate is told by another rule.
    """
    rows = probe_certificates[~probe_certificates.trusted & ~_lacks_an_intermediate(probe_certificates)]
    why = "its chain ends with " + rows.issuer + ", which nobody here knows"
    why = why.mask(
        ~rows.ends_in_root & ~rows.chain.str.contains(" < ", regex=False), "nobody here knows its issuer " + rows.issuer
    )
    why = why.mask(rows.self_signed, "it is self-signed, by " + rows.issuer)
    return rows.assign(why=why + " (" + rows.distrust + ")")


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="serves a certificate with {what}",
    guide=("C064",),
)
def every_served_certificate_is_strong(probe_certificates):
    """Every served certificate has a key of 2,048 bits at least (RSA; 256 for elliptic curves), and is signed with a hash that holds.

    NIST SP 800-131A: shorter keys, and SHA-1, are not to be used.
    """
    weak_key = probe_certificates.key_bits < probe_certificates.key_kind.map(FEWEST_BITS).fillna(0)
    weak_hash = probe_certificates.signature.isin(BROKEN_HASHES)
    key = "a key of " + probe_certificates.key_bits.astype("str") + " bits (" + probe_certificates.key_kind + ")"
    what = key.mask(~weak_key, "a signature by " + probe_certificates.signature)
    return probe_certificates.assign(what=what)[weak_key | weak_hash]


@check(
    section="04",
    severity="high",
    subject="{instance}: {url}",
    because="serves a certificate until {not_after:%Y-%m-%d %H:%M} UTC, while Certificate {namespace}/{name} (revision {revision}) has one "
    "until {issued_until:%Y-%m-%d %H:%M} UTC: the server did not read it again",
    guide=("C061", "C064"),
)
def every_served_certificate_is_the_newest(probe_certificates, k8s_certificates):
    """Every server serves the certificate that cert-manager has for its name, not an older one.

    cert-manager renews the secret; a server that read it once at its start goes on with the old one until it expires. Judged are names
    for which there is a Certificate.
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
    because="should have been renewed at {renews_at:%Y-%m-%d %H:%M:%S} UTC, {late_s:seconds} ago; valid until "
    "{not_after:%Y-%m-%d %H:%M} UTC",
    at="renews_at",
    guide=("C061", "C062", "C063", "C065"),
)
def every_certificate_is_renewed_in_time(k8s_certificates, *, max_late_ratio=0.1):
    """Every Certificate is renewed within {max_late_ratio:percent} of its lifetime after its time to renew.

    What is issued for 90 days is renewed after 60: 9 days late, and three weeks are left to find out why. A tenth: a choice of ours, so
    that it fits certificates of 6 days and of a year.
    """
    late_s = seconds_since(k8s_certificates.renews_at, k8s_certificates)
    life_s = (k8s_certificates.not_after - k8s_certificates.not_before).dt.total_seconds()
    rows = k8s_certificates.assign(late_s=late_s)
    return rows[(late_s > max_late_ratio * life_s).fillna(False)].sort_values("late_s", ascending=False)


@check(
    section="04",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{failed_attempts} attempts in a row to get it from {issuer} failed, the last at {last_failed_at:%Y-%m-%d %H:%M:%S} UTC: "
    "{said}",
    at="last_failed_at",
    guide=("C061", "C062", "C063"),
)
def no_certificate_fails_to_be_issued(k8s_certificates, *, max_failures=1):
    """No Certificate failed to be issued in more than {max_failures:number} attempts in a row.

    While the old one is valid, the Certificate is still Ready. cert-manager waits longer after each failure, up to 32 h. Once may be
    an authority that was busy: a choice of ours.
    """
    rows = k8s_certificates[k8s_certificates.failed_attempts > max_failures]
    return rows.assign(said=one_line(rows.issuing_message).replace("", "no message")).sort_values(
        "failed_attempts", ascending=False
    )
