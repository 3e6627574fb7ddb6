"""Rules about the token that was given to be examined, and about the keys that its issuer publishes."""

import pandas as pd

from nl_forensics.checks.rule import check

HARMFUL = ("header", "algorithm", "signature")  # with which a token is accepted that the issuer did not sign
RENEWED = ("lifetime",)


@check(
    section="09",
    severity="high",
    critical="is_harmful",
    medium="is_long",
    subject="identity/{instance}: {aspect}",
    because="token fails the test of its {aspect}: {said}",
    guide=("C112", "C113"),
)
def the_token_is_valid(identity_token_tests):
    """The token passes every test of a strict verifier.

    Structure, header, algorithm, key id, signature, issuer, audience and times, by the clock of the issuer. Critical where a verifier that
    accepts it accepts tokens of anyone; medium for a lifetime beyond the limit of the platform file: a stolen token stays valid as long.
    """
    rows = identity_token_tests[~identity_token_tests.passed.fillna(True)]
    rows = rows.assign(is_harmful=rows.aspect.isin(HARMFUL), is_long=rows.aspect.isin(RENEWED))
    return rows.sort_values("is_harmful", ascending=False, kind="stable")


@check(
    section="09",
    severity="critical",
    subject="identity/{instance}: {shown}",
    because="published with its private part or as a shared secret: anyone can sign tokens; replace it, and every token signed with it",
    guide=("C112",),
)
def only_public_keys_are_published(identity_keys):
    """The key set of the issuer contains public keys only.

    A key of type `oct` is a shared secret; a `d` in an RSA or EC key is its private part.
    """
    return _shown(identity_keys[identity_keys.has_private_part])


@check(
    section="09",
    severity="medium",
    high="not is_usable",
    subject="identity/{instance}: {shown}",
    because="{fault}",
    guide=("C112",),
)
def published_keys_are_usable(identity_keys, *, min_rsa_bits=2048):
    """Every published key can be read and is long enough: RSA of {min_rsa_bits:number} bits at least.

    A verifier that can't read a key rejects every token signed with it. 2048 bits: RFC 7518.
    """
    rows = identity_keys[~identity_keys.has_private_part]
    is_short = (rows.kty == "RSA") & (rows.bits.fillna(0) < min_rsa_bits)
    short = "has " + rows.bits.fillna(0).astype("str") + " bits, too few"
    rows = rows.assign(fault=short.where(rows.is_usable, "can't be read as a public key"))
    return _shown(rows[~rows.is_usable | is_short])


@check(
    section="09",
    severity="medium",
    subject="identity/{instance}: {shown}",
    because="{fault}",
    guide=("C112",),
)
def published_keys_have_ids_of_their_own(identity_keys):
    """Every published key has an id (`kid`) of its own, where there are several.

    Without one, a verifier must try all keys, and many take the first: during a rotation they reject valid tokens.
    """
    rows = identity_keys
    several = rows.groupby("instance").kid.transform("size") > 1
    twice = rows.duplicated(["instance", "kid"], keep=False) & (rows.kid != "")
    rows = rows.assign(fault=(rows.kid == "").map({True: "has no id (kid)", False: "shares its id with another key"}))
    return _shown(rows[several & (twice | (rows.kid == ""))])


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    named = "key " + rows.kid.where(rows.kid != "", "without an id")
    return rows.assign(shown=named + " (" + rows.kty + ")")
