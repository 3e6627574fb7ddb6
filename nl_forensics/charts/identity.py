"""The token that was examined, and the keys that its issuer publishes."""

import pandas as pd

from nl_forensics.charts.labels import cut, moment, named
from nl_forensics.charts.table import LONGEST_LINE, table

CLAIMS = {
    "typ": "type",
    "alg": "algorithm",
    "kid": "key id",
    "iss": "issuer",
    "aud": "audience",
    "user_id": "subject",
    "issued_at": "issued",
    "valid_from_at": "valid from",
    "expires_at": "expires",
    "claims": "names of all claims",
    "size_bytes": "size in bytes",
}
RESULTS = {True: "passed", False: "FAILED"}


@table("Tests of the token", "No token was examined.")
def token_tests(identity_token_tests) -> pd.DataFrame:
    """Every test of the token, those that it fails first. The token itself is not in the case."""
    rows = identity_token_tests.assign(failed=identity_token_tests["passed"].fillna(True))
    rows = rows.sort_values("failed", kind="stable")
    return pd.DataFrame(
        {
            "test": named(rows, "aspect"),
            "result": rows["passed"].map(RESULTS).fillna("not tested"),
            "observed": [cut(said, LONGEST_LINE) for said in rows["said"]],
        }
    )


@table("Claims of the token", "No token was examined.")
def token_claims(identity_token) -> pd.DataFrame:
    """Ids, names and times in the token, as it has them: the tests say whether they are right. The subject is a pseudonym."""
    rows = identity_token
    if rows.empty:
        return rows
    times = {name: rows[name].map(moment, na_action="ignore") for name in ("issued_at", "valid_from_at", "expires_at")}
    shown = rows.assign(**times).rename(columns=CLAIMS)[list(CLAIMS.values())].astype("object")
    shown = shown.where(shown.notna() & (shown != ""), "none")
    return (
        shown.map(lambda value: cut(str(value), LONGEST_LINE))
        .T.reset_index()
        .set_axis(["claim", *named(rows.assign(title="value"), "title")], axis=1)
    )


@table("Published keys of the issuer", "No key is published, so no token can be verified.")
def issuer_keys(identity_keys) -> pd.DataFrame:
    """Every published key, by its properties."""
    rows = identity_keys
    return pd.DataFrame(
        {
            "kid": named(rows, "kid").replace("", "none"),
            "type": rows["kty"],
            "algorithm": rows["alg"].replace("", "any"),
            "bits": rows["bits"].astype("str").replace("<NA>", "unknown"),
            "usable": rows["is_usable"].map({True: "yes", False: "no"}),
            "secret part published": rows["has_private_part"].map({True: "YES", False: "no"}),
            "thumbprint": rows["thumbprint"],
        }
    )
