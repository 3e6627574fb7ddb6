"""Recognisable by shape: vendors' tokens, keys, hashes, card numbers, passwords in URLs; e-mail and IP addresses.

Everything is matched by RE2, in time linear in the text, whatever it holds. RE2 has no look-around, so a rule that
depends on its neighbours checks them in `accepts`.
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from nl_forensics.redact.names import is_word

MAX_MATCHES = 25_000  # of one rule in one text; real evidence is far below it
UNREAD = "unread"  # the text after the last match: it is not searched, so it is not kept
Accepts = Callable[[bytes, int, int], bool]


class Found(NamedTuple):
    """Bytes of a text that must not be written down. `label`: the kind of a secret or the class of an identifier.

    quote   to be put around what stands in: JSON stays JSON where a number becomes a string
    """

    start: int
    end: int
    label: str
    quote: bytes = b""


class Shape(NamedTuple):
    """A pattern; its one group is removed if `accepts` returns true."""

    label: str
    pattern: Any
    accepts: Accepts | None = None

    def find(self, text: bytes) -> Iterator[Found]:
        for count, match in enumerate(self.pattern.finditer(text)):
            start, end = match.span(1)
            if count == MAX_MATCHES:
                yield Found(start, len(text), UNREAD)
                return
            if not self.accepts or self.accepts(text, start, end):
                yield Found(start, end, self.label)


def _has_capital_and_digit(text: bytes, start: int, end: int) -> bool:
    """Random, not words: `sk-` also begins names of pods."""
    value = text[start:end]
    return value != value.lower() and any(byte in b"0123456789" for byte in value)


def is_base64(value: bytes) -> bool:
    """Base64 of random bytes, not hexadecimal, not a word: both cases and a digit."""
    return value not in (value.lower(), value.upper()) and any(byte in b"0123456789" for byte in value)


def is_random(value: bytes) -> bool:
    """Made by a generator: letters and digits, or letters that make no word; not a UUID, a number, a path or a host."""
    if len(value) < 6 or not _ONE_TOKEN.fullmatch(value) or _UUID.fullmatch(value):
        return False
    digits = sum(byte in b"0123456789" for byte in value)
    return (digits < len(value) and digits > 1) or not is_word(value)


def _is_mixed(text: bytes, start: int, end: int) -> bool:
    return is_base64(text[start:end])


def _is_not_a_word(text: bytes, start: int, end: int) -> bool:
    """`bearer authentication` is prose."""
    value = text[start:end].rstrip(b".")
    return not value.replace(b"-", b"").replace(b"_", b"").isalpha()


def _is_no_outcome(text: bytes, start: int, end: int) -> bool:
    """`AUTH failed`, `requirepass is not set` are messages."""
    return not _OUTCOME.match(text, start, end)


def _is_user_and_password(text: bytes, start: int, end: int) -> bool:
    """Base64 of `user:password`, as Basic authentication and registries have it."""
    value = text[start:end].rstrip(b"=")
    try:
        return b":" in base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False


def _is_bootstrap_token(text: bytes, start: int, end: int) -> bool:
    """`abcdef.0123456789abcdef`, not a decimal fraction, not a host name, not the name of an event (`node01.17a1b2c3d4e5f607`)."""
    secret = text[start:end].partition(b".")[2]
    digits = sum(byte in b"0123456789" for byte in secret)
    return (
        3 <= digits < len(secret) and text[start - 1 : start] not in (b".", b"-") and not _EVENT_TIME.fullmatch(secret)
    )


def _is_card(text: bytes, start: int, end: int) -> bool:
    """The check digit of a payment card holds (Luhn), and the digits are not part of a longer number."""
    if text[max(0, start - 2) : start].endswith((b".", b"_-")) or (
        text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
    ):
        return False
    digits = [byte - 48 for byte in text[start:end] if byte in b"0123456789"]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_ONE_TOKEN = re2.compile(rb"[A-Za-z0-9+/_.~!@#$%^*-]+={0,2}")
_UUID = re2.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOCUMENTATION = tuple(
    ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_EVENT_TIME = re2.compile(rb"1[5-9a][0-9a-f]{14}")
_OUTCOME = re2.compile(rb"(?i)(?:is|fail\w*|error|required|denied|rejected|ok|enabled|disabled|timeout|timed)\b")
_HEX_GROUP_BEFORE = re2.compile(rb"(?i)[0-9a-f]:\z")
_VERSION_BEFORE = re2.compile(rb"(?i)(?:\b(?:version|release|build|chart|ver)[\W_]{0,4}|[a-z][/-])\z")


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text stands for; an IPv4 address mapped into IPv6 is that IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=10_000)
def _is_public(text: bytes) -> bool:
    """A public address of the Internet. The ranges of documentation stand for such addresses, so they count."""
    address = address_of(text.decode())
    if address is None or address.is_multicast:
        return False
    return address.is_global or any(address in network for network in _DOCUMENTATION)


def _is_public_ip(text: bytes, start: int, end: int) -> bool:
    """Not part of a longer dotted or coloned number, and not a version such as `Chrome/119.0.1.2`."""
    before, value, after = text[max(0, start - 16) : start], text[start:end], text[end : end + 2]
    if before.endswith(b".") or (after[:1] in (b"_", b".") and after[1:].isalnum()):
        return False
    if b":" in value and _HEX_GROUP_BEFORE.search(before):
        return False
    return _is_public(value) and not _VERSION_BEFORE.search(before)


def _is_person(text: bytes, start: int, end: int) -> bool:
    """`git@github.com`, units of systemd and names inside a cluster resemble e-mail."""
    local, _, domain = text[start:end].replace(b"%40", b"@").lower().rpartition(b"@")
    inside = (b"local", b"internal", b"svc", b"cluster", b"service", b"socket", b"timer", b"slice", b"scope", b"mount")
    return local != b"git" and domain.rpartition(b".")[2] not in inside


# Where a token can begin: also after an escaped newline, a percent-encoded quote or a terminal's colour.
_BEGIN = r"(?:\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]*m|\b|_)"
_Q = r"\\*[\"'`]"  # a quote, escaped or not


def _token(label: str, pattern: str, accepts: Accepts | None = None) -> Shape:
    """The whole match is removed."""
    return Shape(label, re2.compile(rf"{_BEGIN}({pattern})".encode()), accepts)


def _place(label: str, pattern: str, accepts: Accepts | None = None) -> Shape:
    """The one group of the pattern is removed."""
    return Shape(label, re2.compile(pattern.encode()), accepts)


_TOKENS = {
    "stripe_key": r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    "stripe_webhook_secret": r"whsec_[A-Za-z0-9+/=_-]{16,}",
    "stripe_client_secret": r"(?:pi|seti|cs|src)_[A-Za-z0-9_]+_secret_[A-Za-z0-9]{8,}",
    "aws_key": r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b",
    "aws_session": r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/=]{40,}",
    "github_token": r"gh[opusr]_[A-Za-z0-9_]{30,}|github_pat_[A-Za-z0-9_]{22,}",
    "gitlab_token": r"gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-[A-Za-z0-9_.-]{20,}|GR1348941[A-Za-z0-9_-]{20,}",
    "slack_token": r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",
    "google_key": r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{40,}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "twilio_key": r"SK[0-9a-f]{32}\b",
    "mail_key": r"key-[0-9a-f]{32}\b|[0-9a-f]{32}-us\d{1,2}\b|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|xkeysib-[0-9a-f]{64}-\w+",
    "registry_token": r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|rubygems_[0-9a-f]{48}|dckr_[po]at_[A-Za-z0-9_-]{20,}"
    r"|AKCp[A-Za-z0-9]{60,}|cio[A-Za-z0-9]{32}\b",
    "grafana_token": r"gls?[ac]_[A-Za-z0-9_+/=]{32,}|eyJrIjoi[A-Za-z0-9_+/=-]{30,}",
    "vault_token": r"hv[sbr]\.[A-Za-z0-9_-]{20,}",
    "azure_secret": r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
    "age_key": r"AGE-SECRET-KEY-1[0-9A-Za-z]{50,}",
    "telegram_token": r"\d{8,10}:AA[A-Za-z0-9_-]{33}",
    "observability_key": r"NRAK-[A-Z0-9]{27}|NR(?:II|AA|BR|JS)-[A-Za-z0-9-]{20,}|sntry[su]_[A-Za-z0-9_+/=-]{30,}"
    r"|dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{40,}|lsv2_[a-z]{2}_[0-9a-f_]{32,}|ph[xs]_[A-Za-z0-9]{32,}|u\+[A-Za-z0-9_-]{18}\b",
    "cloud_token": r"do[opr]_v1_[0-9a-f]{64}|HRKU-[A-Za-z0-9_-]{30,}|dapi[0-9a-f]{32}|dp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9_.-]{40,}"
    r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,}|sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,}|pul-[0-9a-f]{40}"
    r"|tskey-[a-z]+-[A-Za-z0-9-]{16,}|fo1_[A-Za-z0-9_-]{40,}|fm[12][ar]?_[A-Za-z0-9+/=]{40,}"
    r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}|LTAI[A-Za-z0-9]{20}|ABSK[A-Za-z0-9+/=]{100,}",
    "application_token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{56,}"
    r"|lin_(?:api|oauth)_[A-Za-z0-9]{32,}|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}|fig[dor]_[A-Za-z0-9_-]{36,}"
    r"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|AT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{24,}|sq[pua]_[0-9a-f]{40}|CCIP(?:AT|RJ)_[A-Za-z0-9_]{20,}"
    r"|bkua_[0-9a-f]{40}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|EZ[AT]K[A-Za-z0-9]{54}",
    "ai_key": r"hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{40,}",
    "jwt": r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}",
    "password_hash": r"SCRAM-SHA-\d+\$\d+:[A-Za-z0-9+/=]+(?:\$[A-Za-z0-9+/=:]*)?|md5[0-9a-f]{32}\b"
    r"|(?:pbkdf2|scrypt)[_:][a-z0-9_:]*\$[A-Za-z0-9$:+/=.]{20,}",
}

_ANY_TOKEN = re2.compile(f"(?:{'|'.join(_TOKENS.values())})".encode())


def without_tokens(text: str) -> str:
    """Tokens as `?`: before a text is taken apart, as what is left of a token has no shape. Quotes stay where they are."""
    return _ANY_TOKEN.sub(b"?", text.encode("utf-8", "replace")).decode()


_PLACES = (
    (
        "private_key",
        r"(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))",
    ),
    (
        "password_hash",
        r"(\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{22,53}|\$argon2(?:id|i|d)\$[A-Za-z0-9$=,+/.]+"
        r"|\$(?:1|5|6|y|7|apr1|scrypt)\$[./A-Za-z0-9=$]{16,})",
    ),
    (
        "url_password",
        r"(?i)(?:postgres(?:ql)?|mysql|mariadb|rediss?|valkeys?|mongodb|amqps?|nats|kafka|clickhouse|ldaps?|smtps?)(?:\+\w+)?"
        r"://[^\s/:@\"'<>\\]*:([^\s\"'\\]+)@",
    ),
    ("url_userinfo", r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>?#\\]*:([^\s/\"'?#\\]+)@"),
    ("url_token", r"(?i)https?://([^\s/:@\"'<>?#\\]{16,})@"),
    (
        "url_signature",
        r"(?i)[?&](?:sig|signature|x-(?:amz|goog)-signature|code|assertion|ticket|key|auth)=([^&\s\"'<>#\\]{16,})",
    ),
    ("dsn_password", r"[A-Za-z0-9_.-]+:([^\s\"'\\]+)@(?:tcp|unix)\("),
    (
        "webhook",
        r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
        r"|[a-z0-9]+\.webhook\.office\.com/webhookb2)/([A-Za-z0-9_/@+-]{20,})",
    ),
    ("aws_secret", rf"A[KS]IA[A-Z0-9]{{16}}(?:{_Q})?\s*[,:;|\s]\s*(?:{_Q})?([A-Za-z0-9/+]{{40}})\b"),
    (
        "session_cookie",
        r"(?i)(?:\b(?:sess|session|sid)|\w+_session|connect\.sid|phpsessid|jsessionid|sessionid)=([A-Za-z0-9_.%+/=:-]{16,})",
    ),
    ("paging_key", r"(?i)(?:routing|integration|service)_?key\W{1,8}([0-9a-f]{32}|R[0-9A-Z]{31})\b"),
    ("sql_password", r"(?i)\b(?:PASSWORD|IDENTIFIED\s+BY)\s+(?:[EN]|U&)?'((?:[^'\\]|''|\\.)*)(?:'|\z)"),
    ("sql_password", r"(?i)\bPASSWORD\s+''([^']+)(?:''|\z)"),
    ("sql_password", r"(?is)\bPASSWORD\s+\$\w*\$(.*?)(?:\$\w*\$|\z)"),
    ("quoted_password", r"(?i)\b(?:password|passphrase)\s+\\*\"([^\s\"\\]+)\\*\""),
    ("row", r"(?:Failing row contains \(|[Pp]arameters: \$1 = |COPY \S+, line \d+(?:, column \S+)?: )([^\n]+)"),
    (
        "xml_value",
        r"<(?:[a-z]\w*:)?(?i:[\w.-]*(?:password|passwd|secret|token|(?:api|access|secret|private)[_-]?key)\d*)>([^<]+)</",
    ),
    ("redis_acl", rf"(?i)\bSETUSER(?:{_Q})?\s+\S+\s(?:[^\n]*?[\s\"'])?([><#][^\n]*)"),
    ("redis_acl_hash", r"(?:^|[\s\"'])#([0-9a-f]{64})\b"),
    (
        "command_password",
        r"\b(?:redis-cli\b[^|;\n]*?\s(?:-a|--pass)|sshpass\s+-p|(?:mysql(?:dump|admin)?|docker\s+login)\b[^|;\n]*?\s-p"
        r"|curl\b[^|;\n]*?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']*:)\s*[\"']?([^\s\"'$]+)",
    ),
)

_CARD = r"4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12}"
_IPV6 = r"(?i)[23][0-9a-f]{3}:(?:[0-9a-f]{0,4}:){0,6}(?:[0-9a-f]{1,4}\b|:|(?:\d{1,3}\.){3}\d{1,3}\b)"

SECRETS = (
    *(_token(kind, pattern) for kind, pattern in _TOKENS.items()),
    *(_place(kind, pattern) for kind, pattern in _PLACES),
    _token("ai_key", r"sk-[A-Za-z0-9_-]{20,}", _has_capital_and_digit),
    _token("bootstrap_token", r"[a-z0-9]{6}\.[a-z0-9]{16}\b", _is_bootstrap_token),
    _token("card", rf"(?:{_CARD})\b", _is_card),
    _token("card", r"[2-6]\d{3}[ -]\d{4}[ -]\d{4}[ -]\d{4}\b|3[47]\d\d[ -]\d{6}[ -]\d{5}\b", _is_card),
    _place("authorization", r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{8,}=*)", _is_not_a_word),
    _place("authorization", r"(?i)\bbasic\s+([A-Za-z0-9+/]{6,}={0,2})", _is_user_and_password),
    _place(
        "redis_auth",
        rf"(?:^|\bHELLO(?:{_Q})?\s+(?:{_Q})?\d(?:{_Q})?\s+(?:{_Q})?|> |\] )(?:AUTH|\"(?i:AUTH)\")\s+(?:{_Q})?"
        rf"([^\s\"\\]+(?:{_Q})?(?:\s+(?:{_Q})?[^\s\"\\]+)?)(?:{_Q})?\s*(?:$|SETNAME)",
        _is_no_outcome,
    ),
    _place(
        "redis_password",
        rf"(?im)(?:^|\bSET(?:{_Q})?|--)\s*(?:{_Q})?(?:requirepass|masterauth|auth-pass\s+\S+)(?:{_Q})?\s+(?:{_Q})?([^\s\"'\\]+)",
        _is_no_outcome,
    ),
    _place("registry_token", rf"\"auth{_Q}\s*:\s*{_Q}([A-Za-z0-9+/]{{6,}}={{0,2}})", _is_user_and_password),
    _place("private_key", r"(?:^|\s)([A-Za-z0-9+/]{64}|[A-Za-z0-9+/]{70}|[A-Za-z0-9+/]{76})\s*$", _is_mixed),
)

IDENTIFIERS = (
    _token("email", r"[\pL\pN._+-]+(?:@|%40)[\pL\pN-]+(?:\.[\pL\pN-]+)*\.\pL{2,}", _is_person),
    _token("ip", r"(?:\d{1,3}\.){3}\d{1,3}\b", _is_public_ip),
    _token("ip", _IPV6, _is_public_ip),
    _place("ip", r"(?i)(::ffff:(?:[0-9a-f]{1,4}:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}))\b", _is_public_ip),
    _token("customer", r"cus_[A-Za-z0-9]{8,}"),
    _token("subscription", r"sub_[A-Za-z0-9]{8,}"),
    _token("account", r"acct_[A-Za-z0-9]{8,}"),
)
