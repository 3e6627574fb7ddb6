"""Rules about the token that was given to be examined."""

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
