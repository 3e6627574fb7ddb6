"""Log lines that say that a service rejected a credential, by the reason, in the words of the usual libraries."""

import re
from typing import NamedTuple

import pandas as pd

from nl_forensics.facts.kubernetes.lines import dated_lines


class Reason(NamedTuple):
    """Why a credential is rejected.

    means     in words
    is_ours   the usual fault is on the side that issues or verifies: a valid token is rejected; else on the side of the client
    next      what to look at
    pattern   of the messages of jsonwebtoken and jwks-rsa (Node.js), PyJWT and joserfc (Python), golang-jwt (Go), java-jwt, jjwt and
              Nimbus (Java), and of our own services
    """

    means: str
    is_ours: bool
    next: str
    pattern: str


# In the order of trust: for a line that fits several, the first counts.
REASONS = (
    Reason(
        "key set not readable",
        True,
        "whether the issuer answers the verifier",
        r"(?:fetch|refresh|load|read|retriev)\w* .{0,20}(?:jwks|key set|jwk set)"
        r"|(?:jwks|key set).{0,40}(?:unreachable|timed? ?out|failed|refused)"
        r"|JwksError|JWKSet.*retriev",
    ),
    Reason(
        "key id not found",
        True,
        "whether keys were rotated, and when the verifier last read the key set",
        r"unable to find a signing key|no (?:matching|suitable|applicable) key|(?:unknown|invalid|unexpected)[ _]key[ _]id"
        r"|\bkid\b.{0,40}(?:not found|unknown|invalid|no match)|(?:unknown|invalid|no key (?:found )?(?:with|for)(?: the)?) [\"'*]*kid\b"
        r"|SigningKeyNotFound|InvalidKeyIdError|unable to find (?:the |appropriate )?key|no key found",
    ),
    Reason(
        "expired token",
        False,
        "whether the client renews its token, and whether clocks agree",
        r"(?:jwt|token) (?:is |has |was )?expired|token has expired|signature has expired|expired (?:jwt|token)|TokenExpired"
        r"|ExpiredSignature|ExpiredToken|expired_token|ExpiredJwt|exp claim timestamp check failed",
    ),
    Reason(
        "token not yet valid",
        True,
        "whether the clocks of issuer and verifier agree",
        r"jwt not active|NotBeforeError|not yet valid|ImmatureSignature|not valid yet|used before issued|can't be used before"
        r"|before use time|PrematureJwt|issued in the future",
    ),
    Reason(
        "algorithm not allowed",
        True,
        "which algorithms the issuer signs with, and the verifier allows",
        r"invalid algorithm|alg(?:orithm)?(?: value| of)? .{0,20}(?:is )?not (?:allowed|supported|recommended)|InvalidAlgorithm"
        r"|UnsupportedAlgorithm"
        r"|signing method .{0,20}is invalid|unexpected signing method|provided algorithm doesn't match|AlgorithmMismatch",
    ),
    Reason(
        "bad signature",
        True,
        "whether keys were rotated without a new id, else which client sends forged tokens",
        r"invalid signature|bad[ _]signature|signature verification (?:failed|error)|InvalidSignature|BadSignature|signature is invalid"
        r"|signature resulted invalid|signature does not match|crypto/(?:rsa|ecdsa): verification error|SignatureVerification",
    ),
    Reason(
        "wrong issuer",
        True,
        "the issuer in the settings of the verifier",
        r"issuer (?:is )?invalid|invalid[ _]issuer|InvalidIssuer|doesn't match the required issuer|iss claim|claim:? [\"'*]*iss\b"
        r"|unexpected [\"'*]*iss\b",
    ),
    Reason(
        "wrong audience",
        True,
        "the audience in the settings of the verifier, and which service the token is for",
        r"audience (?:is )?invalid|invalid[ _]audience|InvalidAudience|audience doesn't match|required audience|aud claim"
        r"|claim:? [\"'*]*aud\b"
        r"|unexpected [\"'*]*aud\b",
    ),
    Reason(
        "malformed token",
        False,
        "what the client sends",
        r"(?:jwt|token) (?:is )?malformed|malformed (?:jwt|token)|not enough segments|invalid number of segments|expected to have \S+ parts"
        r"|invalid (?:serialized|json web|compact)|DecodeError|MalformedJwt",
    ),
    Reason(
        "API key rejected",
        False,
        "which client uses it, and whether it was revoked",
        r"(?:unknown|invalid|revoked|bad|wrong|expired|disabled) api[ _-]?key"
        r"|api[ _-]?key (?:is )?(?:unknown|invalid|revoked|not found|expired)",
    ),
    Reason(
        "wrong password",
        False,
        "which client tries, and whether it is let in in the end",
        r"(?:invalid|wrong|bad|incorrect) (?:credentials|password|username or password)|login failed|failed login"
        r"|authentication fail(?:ed|ure)",
    ),
    Reason(
        "no credentials",
        False,
        "which client sends none",
        r"no auth(?:orization)? token|jwt must be provided|(?:missing|no) (?:authorization|bearer|credentials|api[ _-]?key)",
    ),
    Reason(
        "forbidden",
        False,
        "which role or scope the client lacks",
        r"\bforbidden\b|insufficient[ _](?:scope|permission|privilege)s?|access denied|not authori[sz]ed"
        r"|permission denied for (?:user|tenant)",
    ),
)
PATTERNS = tuple(re.compile(one.pattern, re.IGNORECASE) for one in REASONS)
# Where the reason stands in quotes, a template has lost it.
IN_QUOTES = re.compile(r"claim|\bkid\b|\balg", re.IGNORECASE)
OF_KUBERNETES = re.compile(r"User \S+ cannot ", re.IGNORECASE)
BY_MEANING = {one.means: one for one in REASONS}


def reason_of(message: str) -> str:
    """The reason in words; "" if the message rejects no credential."""
    if OF_KUBERNETES.search(message):
        return ""
    return next((one.means for one, pattern in zip(REASONS, PATTERNS, strict=True) if pattern.search(message)), "")


def rejections(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """The log lines with a known time that reject a credential, oldest first: `reason` in words, `is_ours`, `next`."""
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    rows = rows[rows.level != "debug"]
    known = {template: reason_of(template) for template in rows.template.unique()}
    unclear = rows.template.isin([one for one, reason in known.items() if not reason and IN_QUOTES.search(one)])
    named = {message: reason_of(message) for message in rows.message[unclear].unique()}
    rows = rows.assign(reason=rows.template.map(known).mask(unclear, rows.message.map(named)))
    rows = rows[rows.reason != ""].sort_values("at", kind="stable")
    facts = {name: [getattr(BY_MEANING[reason], name) for reason in rows.reason] for name in ("is_ours", "next")}
    return rows.assign(**facts)
