"""Secrets and identifiers that an adjacent name reveals: `password=…`, `"api_key": "…"`, `--token …`, `Authorization: …`, `user_id: …`.

A pair can stand in JSON, in JSON inside a string (escaped once or more), YAML, an environment, a URL, libpq's conninfo, a header,
SQL, or prose. In prose the word after the name is often no value: `token: expired`, `password: authentication failed`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from nl_forensics.redact.shapes import MAX_MATCHES, UNREAD, Found

SECRET_NAMES = {
    "password": r"pass(?:word|wd|phrase|code)s?|pwd|(?:\b|[_-]|\\[nrt])(?:db|user|auth[_-]?)?(?:pass|pw)"
    r"|requirepass|masterauth|rediscli_auth",
    "api_key": r"(?:access|account|aes|api|app|application|auth|certificate|client|consumer|deploy|encryption|fernet|hmac|jwt|license"
    r"|master|pass|private|secret|session|shared|signing|ssh|storage|webhook)[_ -]?(?:access[_ -]?)?keys?(?:[_-]?(?:id|data))?",
    "token": r"token|bearer",
    "secret": r"secret",
    "credential": r"credentials?|dockerconfigjson|dockercfg|saml[_-]?response",
    "authorization": r"authorization|auth[_-]header",
    "cookie": r"cookies?",
    "session": r"sessionid|phpsessid|jsessionid|connect\.sid",
    "card": r"card[_ -]?(?:number|no)|cvv2?|cvc2?",
    "one_time_code": r"t?otp(?:[_-]?code)?|(?:mfa|verification|one[_-]?time)[_-]?code",
}
IDENTIFIER_NAMES = {
    "email": r"e[_-]?mail(?:[_-]?addr(?:ess)?)?s?",
    "customer": r"customer[_ -]?(?:id|uuid|ref|number)s?",
    "user": r"(?:user|member|subscriber|contact|visitor)[_ -]?(?:id|uuid)s?",
}
CONNECTION_NAMES = r"dsn|conninfo|connection[_-]?(?:string|ur[il])|database[_-]?ur[il]"
_BESIDE = {**SECRET_NAMES, **IDENTIFIER_NAMES}
_NAMES = {**_BESIDE, "connection": CONNECTION_NAMES}

# Names that end like a secret's, but hold the name of one, a place in a list, or a directory.
_NO_SECRET = re2.compile(
    rb"(?i:.*(?:existing|image|pull|tls|ref|kind)[_.-]?secrets?|.*(?:max|next|page|continue|continuation|unexpected)[_.-]?token)"
    rb"|(?:OLD)?PWD|userid"
)
# Placeholders of a value: nothing, a mask, a variable, a template, a parameter or column of SQL, what was redacted already.
_NO_VALUE = re2.compile(
    r"(?i:\s*|[^\w\s]|null|none|nil|undefined|true|false|yes|no|\*+|x{3,}|\.{3,}|…|-+|\{+|<\w*|<[\w -]*>)"
    r"|(?i:\[?(?:redacted|filtered|masked|hidden)\]?|\w+\.(?:password|token|secret|email))"
    r"|%\w|%\(\w+\)s|:[A-Za-z]\w*|\{\{.*|\$\d+(?:::\w+)?|\$\{[^}]*\}|\$\([^)]*\)?|\$[A-Z][A-Z0-9_]*"
    r"|[A-Za-z_][\w.]*\((?:[\w.]+\()*(?:\$\d+|\?)(?:[),:].*)?"
    r"|<SECRET:\w+>|<REDACTION-ERROR>|[a-z]+~[a-z2-7]{13}".encode()
)
_NAME_OF_COLUMN = re2.compile(rb"(?i)(?:[a-z_]\w*\.)*(?:\w+_)?(?:id|uuid|e?mail|ref|number)|[a-z_]\w*\(.*")
_WORD = re2.compile(
    rb"[A-Za-z]+(?:[-./_][a-z0-9]+)*[:.!?]?|[A-Za-z]+\d:|\d{1,4}|/(?:etc|var|run|tmp|opt|home|srv|app)/[\w./-]+:?"
)
_WORD_OF_AN_ERROR = re2.compile(
    rb"(?i)(?:is|are|was|were|has|have|had|does|did|must|should|can|can't|cannot|may|will|not|no|too|the|a|an|for|from|in|of|to|and|or|with"
    rb"|required|missing|invalid|incorrect|wrong|expired|empty|blank|failed|failure|error|authentication|denied|rejected|mismatch|field"
    rb"|str|string|text|varchar|char|bytes|any|optional|integer|int|uuid|bigint|unknown|unset|set|ok|valid|changed|reset)[:.,;!?]*"
)
_SCHEME = re2.compile(
    rb"(?i)(?:bearer|basic|token|bot|api-?key|geniekey|splunk|negotiate|ntlm|jwt)\s+(?:token=)?[\"']?"
)
_SCHEME_WITH_PARTS = re2.compile(rb"(?i)(?:digest|aws4-hmac-sha256|hawk|oauth|signature|scram-sha-\d+)\s")
_CONNECTION_WITHOUT_SECRET = re2.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]*://[^\s@]*|(?:\s*\w+\s*=\s*(?:'[^']*'|\S*))+\s*|[\w.-]+:\d+"
)

_LINE_END = re2.compile(rb"\\*[\"'`\r\n]|\\+[nr]|\z")
_LIST_END = re2.compile(rb"\\*[\"'`]\s*\]|\z")
_BARE_END = re2.compile(rb"[\s\"'`]|\\+[\"'`]|(?:[,;&]|%26)+(?:\s|\z|\\*[\"']?[\w.%-]+\\*[\"']?\s*(?:[=:]|%3[Dd]))|\z")

_COLOUR = r"(?:\x1b\[[0-9;]*m)?"
_QUOTE = r"\\*[\"'`]|%22|&quot;|&#34;|\\u0022"
_VALUE = rf"{_COLOUR}(\[\s*)?(''|{_QUOTE})?"
_SEPARATORS = (
    r"\s*(?:=>|:=|={1,3}|:|%3[DdAa])\s*(?:[|>][+-]?[ ]*\n\s*)?"  # key=value, key: value, "key": value, key: |
    r"|\s*,\s*\\*[\"'](?:value|setting)\\*[\"']\s*:\s*"  # {"name": "KEY", "value": …}
    r"|\s*[,\n]\s*(?:value|setting):\s*"  # the same in YAML
)


_SUFFIX = r"(?:[_-]?(?:old|new|previous|current|b64|base64|base|pem|plain|text|hash|confirm(?:ation)?|value)|\d){0,3}"
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"


def _any_of(names: dict[str, str]) -> str:
    """Any of the names; a suffix such as _OLD or _base64 doesn't change what it is."""
    return f"(?i:(?:{'|'.join(names.values())}){_SUFFIX})"


_KEY = re2.compile(rf"(?i)[\w./: -]*?(?:{'|'.join(f'({pattern})' for pattern in _NAMES.values())}){_SUFFIX}".encode())
_VERSION_KEY = re2.compile(rb"(?i)(?:\w*[_.-])?(?:version|release|build)")
_FLAG = re2.compile(rf"--?[\w-]*?{_any_of(SECRET_NAMES)}|(?i:requirepass|masterauth)".encode())


@lru_cache(maxsize=10_000)
def label_of_key(key: str) -> str:
    """The label of a value under this key: a kind of secret, a class of identifier, `connection`, `version`, or nothing known."""
    name = key.encode()
    if _VERSION_KEY.fullmatch(name):
        return "version"
    match = _KEY.fullmatch(name)
    return list(_NAMES)[match.lastindex - 1] if match and not _NO_SECRET.fullmatch(name) else ""


@lru_cache(maxsize=10_000)
def is_flag(argument: str) -> bool:
    """Whether the next argument of a command line is a secret."""
    return _FLAG.fullmatch(argument.encode()) is not None


def is_empty(value: bytes) -> bool:
    """Empty, a placeholder, or redacted already."""
    return _NO_VALUE.fullmatch(value) is not None


def is_connection_without_secret(value: bytes) -> bool:
    return bool(_CONNECTION_WITHOUT_SECRET.fullmatch(value))


class _Pair(NamedTuple):
    """A name with its separator; the value begins at `at`."""

    label: str
    quote: bytes
    separator: bytes
    is_list: bool
    opening: bytes
    begin: int
    at: int


class Pairs(NamedTuple):
    """Names and, after a separator, their values; `pattern` finds a name up to where its value begins."""

    pattern: Any

    def find(self, text: bytes) -> Iterator[Found]:
        position = count = 0
        while match := self.pattern.search(text, position):
            position, count = match.end(), count + 1
            if count > MAX_MATCHES:
                yield Found(match.start(), len(text), UNREAD)
                return
            pair = _pair(text, match)
            if not pair.label:
                continue
            start, end = _value(text, pair)
            if is_empty(text[start:end]):
                position = max(position, end)
            elif not _is_prose(text, pair, start, end):
                position = end
                yield Found(start, end, pair.label, b"" if pair.opening or pair.is_list else pair.quote)


def _pair(text: bytes, match: Any) -> _Pair:
    name, quote, separator, is_list, opening = match.groups(b"")
    before = text[max(0, match.start() - 40) : match.start()]
    head = before.rstrip(_NAME_BYTES)  # `existing` of `existingSecret` belongs to the name
    is_mask = name == b"SECRET" and head.endswith(b"<")
    label = "" if is_mask else label_of_key((before[len(head) :] + name).decode())
    if not head.endswith((b'"', b"'", b"`")):
        quote = b""  # it only ends there, as a path does: "/run/token": read tcp
    return _Pair(label, quote, separator, bool(is_list), opening, match.start(), match.end())


def _value(text: bytes, pair: _Pair) -> tuple[int, int]:
    """Where the value begins and ends."""
    start, is_login = pair.at, pair.label == "authorization"
    if is_login and (scheme := _SCHEME.match(text, start)):
        start = scheme.end()
    if pair.is_list:
        end = _LIST_END.search(text, start).start() if pair.opening else _first(text, b"]", start)
    elif pair.opening:
        end = _closing_quote(text, start, pair.opening)
    elif pair.separator.endswith(b")=("):
        end = _first(text, b")", start)
    elif pair.label == "cookie" or (is_login and _SCHEME_WITH_PARTS.match(text, start)):
        end = _LINE_END.search(text, start).start()
    else:
        end = _end_of_bare(text, pair, start)
    return start, end


def _first(text: bytes, what: bytes, start: int) -> int:
    at = text.find(what, start)
    return at if at >= 0 else len(text)


def _closing_quote(text: bytes, start: int, opening: bytes) -> int:
    """The end of a quoted value, at any depth of escaping; the end of the text if it was cut.

    At depth n a quote has 2ⁿ-1 backslashes before it, and a backslash of the value is written as 2ⁿ⁺¹ of them.
    """
    if opening == b"''":
        empty = not text[start : start + 1].strip(b" \t\r\n,;)}")
        return start if empty else _first(text, b"''", start)
    if opening[-1:] not in b"\"'`":  # %22, &quot;
        return _first(text, opening, start)
    escapes, quote, position = len(opening) - 1, opening[-1:], start
    while (at := text.find(quote, position)) >= 0:
        run = at - position - len(text[position:at].rstrip(b"\\"))
        is_doubled = quote == b"'" and text[at + 1 : at + 2] == quote
        if not is_doubled and run % (2 * escapes + 2) == escapes:
            return at - escapes
        position = at + 1 + is_doubled
    return len(text)


def _end_of_bare(text: bytes, pair: _Pair, start: int) -> int:
    """The end of a value without quotes: the next space, or what begins the next pair; a YAML passphrase ends with its line."""
    end = _BARE_END.search(text, start).start()
    is_yaml = pair.label == "password" and pair.separator == b": " and not pair.quote and _begins_line(text, pair.begin)
    if is_yaml and not _WORD_OF_AN_ERROR.fullmatch(text[start:end]) and not is_empty(text[start:end]):
        end = _LINE_END.search(text, start).start()
    return start + len(_without_closing(text[start:end]))


def _without_closing(value: bytes) -> bytes:
    """Without the punctuation after it; a bracket belongs to the value if one was opened in it."""
    return value.rstrip(b" ,;" if any(opening in value for opening in b"([{") else b" ,;)]}")


def _begins_line(text: bytes, position: int) -> bool:
    """Whether only a dash or the beginning of the name stand before it in its line."""
    before = text[max(0, position - 80) : position]
    line = before.rpartition(b"\n")[2]
    return len(line) < 80 and not line.strip(b" \t").lstrip(b"- ").strip(_NAME_BYTES)


def _is_prose(text: bytes, pair: _Pair, start: int, end: int) -> bool:
    """Whether the name is followed by more text, a column or a flag, rather than by its value."""
    value, after, separator = text[start:end], text[end : end + 6], pair.separator.strip()
    if pair.opening:  # "orders"."user_id" = "users"."id"
        return b"=" in separator and after.replace(b"\\", b"").startswith(b'"."')
    if pair.label in IDENTIFIER_NAMES and b"=" in separator and _NAME_OF_COLUMN.fullmatch(value):
        return True
    if not separator:  # --token --verbose
        return value.startswith(b"-") and value.replace(b"-", b"").isalpha()
    if separator != b":" or pair.quote:
        return False
    if _WORD_OF_AN_ERROR.fullmatch(value) or (value.isdigit() and after == b" bytes"):  # kubectl describe secret
        return True
    is_line = after[:1] in (b"", b"\n") and _begins_line(text, pair.begin)
    has_scheme = start > pair.at
    is_strict = is_line or has_scheme or pair.label in _MAY_BE_A_WORD
    return not is_strict and len(value) <= 32 and bool(_WORD.fullmatch(value))


_MAY_BE_A_WORD = ("password", "user", "customer", "card", "one_time_code")
_ANY = _any_of(_BESIDE)
PAIRS = tuple(
    Pairs(re2.compile(f"{name_and_separator}{_VALUE}".encode()))
    for name_and_separator in (
        rf"({_ANY}){_COLOUR}({_QUOTE})?\]?({_SEPARATORS})",
        rf"(?:^|[\s\"'])--?[\w-]*?({_any_of(SECRET_NAMES)})()(\\*[\"']\s*,\s*|\s+)",  # --token x, ["--token", "x"]
        rf"Key \([^()\n]*?({_ANY})()([^()\n]*\)=\()",  # PostgreSQL: Key (email)=(x) already exists.
    )
)
