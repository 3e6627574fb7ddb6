"""Recognisable by shape: vendors' tokens, keys, hashes, card numbers, passwords in URLs; e-mail and IP addresses.

Everything is matched by RE2, in time linear in the text, whatever it holds. RE2 has no look-around, so a rule that
depends on its neighbours checks them in `accepts`.
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

import re2

from nl_forensics.redact.first_look import FirstLook, alternatives, literal_of
from nl_forensics.redact.found import MAX_MATCHES, UNREAD, Found
from nl_forensics.redact.iban import Iban
from nl_forensics.redact.names import is_word
from nl_forensics.redact.places import PLACES
from nl_forensics.redact.places import QUOTE as _Q
from nl_forensics.redact.tokens import GITLEAKS
from nl_forensics.redact.tokens import TOKENS as OURS

Accepts = Callable[[bytes, int, int], bool]


class Shape(NamedTuple):
    """A pattern; its one group is removed if `accepts` returns true."""

    label: str
    source: bytes
    accepts: Accepts | None = None
    guard: str = ""

    @property
    def pattern(self) -> Any:
        """Compiled when it is first needed: most rules never are."""
        return _compiled(self.source)

    def find(self, text: bytes) -> Iterator[Found]:
        for count, match in enumerate(self.pattern.finditer(text)):
            start, end = match.span(1)
            if count == MAX_MATCHES:
                yield Found(start, len(text), UNREAD)
                return
            if not self.accepts or self.accepts(text, start, end):
                yield Found(start, end, self.label)


_compiled = cache(re2.compile)


def _has_capital_and_digit(text: bytes, start: int, end: int) -> bool:
    """Random, not words: `sk-` also begins names of pods."""
    value = text[start:end]
    return value != value.lower() and any(byte in b"0123456789" for byte in value)


def is_base64(value: bytes) -> bool:
    """Base64 of random bytes, not hexadecimal, not a word: both cases and a digit."""
    return value not in (value.lower(), value.upper()) and any(byte in b"0123456789" for byte in value)


def is_generated(value: bytes) -> bool:
    """Random beyond doubt: long, of three kinds of characters, or of many digits among its letters; no hash, no name with dashes."""
    if len(value) < 16 or not _ONE_TOKEN.fullmatch(value) or _HEX.fullmatch(value):
        return False
    digits = sum(byte in b"0123456789" for byte in value)
    is_mixed = value not in (value.lower(), value.upper()) and digits > 1
    return (
        (is_mixed or (digits > 3 and len(value) >= 24 and b"-" not in value))
        and b"/" not in value[:40]
        and digits < len(value)
    )


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


def _is_no_plain_word(text: bytes, start: int, end: int) -> bool:
    value = text[start:end]
    return any(byte in b"0123456789" for byte in value) or value.startswith((b"hf_", b"api_org_"))


def _is_key_of_64_bytes(text: bytes, start: int, end: int) -> bool:
    """Not a digest: `sha512-…==`."""
    return is_base64(text[start:end]) and not _DIGEST_BEFORE.search(text[max(0, start - 12) : start])


def _is_bootstrap_token(text: bytes, start: int, end: int) -> bool:
    """`abcdef.0123456789abcdef`, not a decimal fraction, not a host name, not the name of an event (`node01.17a1b2c3d4e5f607`)."""
    secret = text[start:end].partition(b".")[2]
    digits = sum(byte in b"0123456789" for byte in secret)
    return (
        3 <= digits < len(secret) and text[start - 1 : start] not in (b".", b"-") and not _EVENT_TIME.fullmatch(secret)
    )


def _is_card(text: bytes, start: int, end: int) -> bool:
    """The check digit of a payment card holds (Luhn), and the digits are not part of a longer number."""
    if end - start == 13 and not _CARD_BEFORE.search(text[max(0, start - 40) : start]):
        return False  # also a number of an order
    is_odd = sum(byte in b"0123456789" for byte in text[start:end]) not in (15, 16)
    before = text[max(0, start - 2) : start]
    if (
        before.endswith((b".", b"_-"))
        or (is_odd and before.endswith((b"_", b"-")))
        or (text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit())
    ):
        return False
    digits = [byte - 48 for byte in text[start:end] if byte in b"0123456789"]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_ONE_TOKEN = re2.compile(rb"[A-Za-z0-9+/_.~!@#$%^*-]+={0,2}")
_HEX = re2.compile(rb"(?i)[0-9a-f-]+")
_UUID = re2.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CARD_BEFORE = re2.compile(rb"(?i)(?:card|visa|pan\b|payment|cc\b)[^\n]*\z|[\"'`]\z|\A\z")
_DOCUMENTATION = tuple(
    ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_DIGEST_BEFORE = re2.compile(rb"(?i)(?:sha\d*|md5|digest)\W{1,2}\z")
_EVENT_TIME = re2.compile(rb"1[5-9a][0-9a-f]{14}")
_OUTCOME = re2.compile(rb"(?i)(?:is|fail\w*|error|required|denied|rejected|ok|enabled|disabled|timeout|timed)\b")
_HEX_GROUP_BEFORE = re2.compile(rb"(?i)[0-9a-f]:\z")
_VERSION_BEFORE = re2.compile(
    rb"(?i)(?:\b(?:version|release|build|chart|ver|kernel|firmware|driver|app|lib|library|package|plugin|section|chapter|table|tag|image"
    rb"|coredns|containerd|kubelet|etcd|nginx|envoy|istio|openss[lh]|java|jdk|python|ruby|php|linux|chrome|firefox|curl|docker|runc|helm"
    rb"|grafana|prometheus|loki|calico|cilium|haproxy|traefik|tomcat|spring|log4j|upgraded\s+from|postgres(?:ql)?|redis)[\W_]{0,4}"
    rb"|[a-z][/-]|==|[a-z][/-][a-z0-9_.-]*:)\z"
)


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
    before, value, after = text[max(0, start - 24) : start], text[start:end], text[end : end + 2]
    if before.endswith(b".") or (after[:1] in (b"_", b".") and after[1:].isalnum()):
        return False
    if after[:1] == b"-" and after[1:].isalpha():
        return False  # a build
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


def _token(label: str, pattern: str, accepts: Accepts | None = None, guard: str = "") -> Shape:
    """The whole match is removed."""
    return Shape(label, rf"{_BEGIN}({pattern})".encode(), accepts, guard or literal_of(pattern))


def _place(label: str, pattern: str, accepts: Accepts | None = None, guard: str = "") -> Shape:
    """The one group of the pattern is removed."""
    return Shape(label, pattern.encode(), accepts, guard or literal_of(pattern))


_CARD = (
    r"4\d{12}(?:\d{3})?|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])\d{8,15}"
    r"|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
    r"|6(?:011|5\d\d|4[4-9]\d|2\d\d)\d{12}"
)
_IPV6 = r"(?i)[23][0-9a-f]{3}:(?:[0-9a-f]{0,4}:){0,6}(?:[0-9a-f]{1,4}\b|:|(?:\d{1,3}\.){3}\d{1,3}\b)"

TOKENS: tuple[Shape, ...] = (
    *(_token(kind, pattern) for kind, patterns in OURS.items() for pattern in alternatives(patterns)),
    *(
        _token("vendor_token", part, _is_no_plain_word)
        for whole in GITLEAKS["shapes"].values()
        for part in alternatives(whole)
    ),
)
_TOKENS_IN = FirstLook(TOKENS)


def without_tokens(text: str) -> str:
    """Tokens as `?`: before a text is taken apart, as what is left of a token has no shape. Quotes stay where they are."""
    encoded = text.encode("utf-8", "replace")
    for index in _TOKENS_IN(encoded):
        encoded = TOKENS[index].pattern.sub(b"?", encoded)
    return encoded.decode()


SECRETS: tuple[Shape | Iban, ...] = (
    *TOKENS,
    *(_place(kind, pattern) for kind, pattern in PLACES),
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
    _place("account_key", r"(?:^|[^A-Za-z0-9+/])([A-Za-z0-9+/]{86}==)", _is_key_of_64_bytes, "=="),
    Iban(),
    _place("private_key", r"(?:^|\s)([A-Za-z0-9+/]{64}|[A-Za-z0-9+/]{70}|[A-Za-z0-9+/]{76})\s*$", _is_mixed),
)

IDENTIFIERS = (
    _token("email", r"[\pL\pN._+-]+(?:@|%40)[\pL\pN-]+(?:\.[\pL\pN-]+)*\.\pL{2,}", _is_person, "@|%40"),
    _token("ip", r"(?:\d{1,3}\.){3}\d{1,3}\b", _is_public_ip),
    _token("ip", _IPV6, _is_public_ip),
    _place("ip", r"(?i)(::ffff:(?:[0-9a-f]{1,4}:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}))\b", _is_public_ip),
    _token("customer", r"cus_[A-Za-z0-9]{8,}"),
    _token("subscription", r"sub_[A-Za-z0-9]{8,}"),
    _token("account", r"acct_[A-Za-z0-9]{8,}"),
)
