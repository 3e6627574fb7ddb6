"""Secrets and identifiers that an adjacent name reveals: `password=…`, `"api_key": "…"`, `--token …`, `Authorization: …`, `user_id: …`.

A pair can stand in JSON, in JSON inside a string (escaped once or more), YAML, an environment, a URL, libpq's conninfo, a header,
SQL, XML, a table, source code, or prose. In prose the word after the name is often no value: `token: expired`, `password is required`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import re2

from nl_forensics.redact.found import MAX_MATCHES, UNREAD, Found
from nl_forensics.redact.names import ANY_NAME, GUARD, IDENTIFIER_STEMS, KEY, WEAK, is_word, label_of_key
from nl_forensics.redact.shapes import is_generated, is_random

# Placeholders of a value: nothing, a mask, a variable, a template, a parameter or column of SQL, what was redacted already.
_NO_VALUE = re2.compile(
    r"(?i:\s*|[^\w\s]|null|none|nil|<nil>|undefined|true|false|yes|no|on|off|\*+|x{3,}|\.{3,}|…|•+|-+|\{+|<\w*|<[\w -]*>)"
    r"|(?i:\[?(?:redacted|filtered|masked|hidden)\]?|(?:\w+\.)+\w*(?:password|passwd|token|secret|key|email)(?:\(\))?)"
    r"|(?i:(?:os\.)?(?:get)?env(?:iron)?[\[(.].*|process\.env\b.*|System\.getenv.*|str|string|bytes|varchar|text)"
    r"|[a-z_]\w*(?:\.\w+)+\(.*|(?:\w+\.)+[A-Z]\w*@[0-9a-f]{5,8}|[A-Z][A-Za-z]*\{[0-9a-f]*|![a-z]\w*"
    r"|%\w|%\(\w+\)s|:[A-Za-z]\w*|\{\{.*|\$\d+(?:::\w+)?|\$\{.*|\$\([^)]*\)?|\$[A-Za-z][A-Za-z0-9_]*|@\w+@|%[A-Z_]+%"
    r"|[A-Za-z_][\w.]*\((?:[\w.]+\()*(?:\$\d+|\?)(?:[),:].*)?"
    r"|<SECRET:\w+>|<REDACTION-ERROR>|[a-z]+~[a-z2-7]{13}".encode()
)
MOST = 4096  # bytes of a value that ends with a certain text
_NAME_OF_COLUMN = re2.compile(rb"(?i)(?:[a-z_]\w*\.)*(?:\w+_)?(?:id|uuid|e?mail|ref|number)|[a-z_]\w*\(.*")
_PLACE = re2.compile(rb"[A-Za-z]+\d:|\d{1,4}|/(?:etc|var|run|tmp|opt|home|srv|app|usr|keys|secrets)/[\w./-]+:?")
_WORD_OF_AN_ERROR = re2.compile(
    rb"(?i)(?:is|are|was|were|has|have|had|does|did|must|should|can|can't|cannot|may|will|not|no|too|the|a|an|for|from|in|of|to|and|or|with"
    rb"|by|on|at|as|it|its|this|that|only|also|still|already|being|been|be|required|missing|invalid|incorrect|wrong|expired|empty|blank"
    rb"|failed|failure|error|authentication|denied|rejected|accepted|mismatch|field|str|string|text|varchar|char|bytes|any|optional"
    rb"|integer|int|uuid|bigint|unknown|unset|set|ok|valid|changed|reset|weak|strong|short|long|stale|revoked|used|unused|available"
    rb"|unavailable|configured|created|deleted|updated|refreshed|rotated|found|stored|mounted|loaded|enabled|disabled|correct|safe)[:.,;!?)]*"
)
_SCHEME = re2.compile(
    rb"(?i)(?:bearer|basic|token|bot|api-?key|api-?token|geniekey|key|ssws|splunk|negotiate|ntlm|jwt|oauth2?|apitoken|discogs|sso-key"
    rb"|goog-[\w-]+|bce-auth-v1|[a-z][\w-]*key|[a-z][\w-]*token)[ ]+(?:token=)?[\"']?"
)
_SCHEME_WITH_PARTS = re2.compile(
    rb"(?i)(?:digest|aws4-hmac-sha256|hawk|oauth|signature|scram-sha-\d+|mac|[a-z][\w-]*)\s+\w[\w-]*="
)
_PARTS = re2.compile(rb"[A-Za-z][\w-]*\s+(?:[\w-]+=(?:\\*\"[^\"\\]*\\*\"|[^\s,\"']*)[,; ]*)+")
_CONNECTION_WITHOUT_SECRET = re2.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]*://[^\s@]*|(?:\s*\w+\s*=\s*(?:'[^']*'|\S*))+\s*|[\w.-]+:\d+"
)

_LINE_END = re2.compile(rb"\\*[\"'`\r\n]|\\+[nr]|\z")
_LIST_END = re2.compile(rb"\\*[\"'`]\s*\]|\z")
_BARE_END = re2.compile(rb"[\s\"'`]|\\+[\"'`]|(?:[,;&]|%26)+(?:\s|\z|\\*[\"']?[\w.%-]+\\*[\"']?\s*(?:[=:]|%3[Dd]))|\z")
_NEXT_VALUE = re2.compile(rb"\\*[\"']\s*\|\s*\\*[\"']\s*([^\"'\s]+)")  # 'one' | 'other'
_IS_KEY = re2.compile(rb"\\*[\"'`]\s*[:=]")
_SECOND_WORD = re2.compile(rb"(?i)keys?|codes?|phrase|answer|pin|words")
_WORD_BEFORE = re2.compile(rb"[A-Za-z_-]+ \z")

_COLOUR = r"(?:\x1b\[[0-9;]*m)?"
_QUOTE = r"\\*[\"'`]|%22|&quot;|&#34;|\\u0022"
_WRAPPER = r"(?:(?:Some|Ok|Just|Secret|SecretString|SecretStr|Password|String|str|bytes|[brf])(?:::\w+)?\(\s*|[brfu]?)"
_VALUE = rf"{_COLOUR}(\[\s*)?(?:{_WRAPPER}(''|{_QUOTE}))?"
_SEPARATORS = (
    r"\s*(?:=>|[:?.+|]=|:{2,3}=|->|~>|={1,3}|!={1,2}|:|%3[DdAa])\s*(?:[|>][+-]?[ ]*\n\s*)?"  # key=value, key: value, key: |
    r"|\s*,\s*\\*[\"'](?:value|setting)\\*[\"']\s*:\s*"  # {"name": "KEY", "value": …}
    r"|\s*[,\n]\s*(?:value|setting):\s*"  # the same in YAML
)
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_NAME = rf"({ANY_NAME}[\w.-]*)"
_TYPE = r"string|str|String|char|text|auto|\[\]byte|Secret\w*|\w*String"
_OPENING = rf"()(?:{_WRAPPER}({_QUOTE}))"


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
    name: bytes
    is_path: bool


class Pairs(NamedTuple):
    """Names and, after a separator, their values; `pattern` finds a name up to where its value begins.

    until   what ends a value without quotes, where that is not a blank
    """

    pattern: Any
    until: bytes = b""
    guard: str = GUARD

    @property
    def source(self) -> bytes:
        return self.pattern.pattern

    def find(self, text: bytes) -> Iterator[Found]:
        position = count = 0
        while match := self.pattern.search(text, position):
            position, count = match.end(), count + 1
            if count > MAX_MATCHES:
                yield Found(match.start(), len(text), UNREAD)
                return
            pair = _pair(text, match)
            if not pair.label:
                position = max(match.start(3), match.start() + 1)
                continue
            start, end = _value(text, pair, self.until)
            if is_empty(text[start:end]):
                position = max(position, end)
            elif not _is_prose(text, pair, start, end):
                position = end
                yield Found(start, end, pair.label, b"" if pair.opening or pair.is_list else pair.quote)
                while pair.opening and (other := _NEXT_VALUE.match(text, position)):
                    position = other.end()
                    yield Found(other.start(1), other.end(1), pair.label)


class Reversed(NamedTuple):
    """The value before its name: `{"value": "…", "name": "DB_PASSWORD"}`. Groups: value, name."""

    pattern: Any
    guard: str = GUARD

    @property
    def source(self) -> bytes:
        return self.pattern.pattern

    def find(self, text: bytes) -> Iterator[Found]:
        for count, match in enumerate(self.pattern.finditer(text)):
            start, end = match.span(1)
            if count == MAX_MATCHES:
                yield Found(start, len(text), UNREAD)
                return
            label = label_of_key(match[2].decode(errors="replace"))
            if label not in ("", "version", "connection") and not is_empty(match[1]):
                yield Found(start, end, label)


def _pair(text: bytes, match: Any) -> _Pair:
    name, quote, separator, is_list, opening = match.groups(b"")
    begin = match.start(1)
    before = text[max(0, begin - 60) : begin]
    head = before.rstrip(_NAME_BYTES)  # `existing` of `existingSecret` belongs to the name
    is_mask = head.endswith((b"<SECRET:", b"<REDACTION-")) or (name == b"SECRET" and head.endswith(b"<"))
    label = "" if is_mask else _label(head, before[len(head) :] + name, separator)
    if label in ("version", "connection"):
        label = ""
    if not head.endswith((b'"', b"'", b"`")):
        quote = b""  # it only ends there, as a path does: "/run/token": read tcp
    return _Pair(
        label,
        quote,
        separator,
        bool(is_list),
        opening,
        begin,
        match.end(),
        before[len(head) :] + name,
        head.endswith(b":"),
    )


def _label(head: bytes, name: bytes, separator: bytes) -> str:
    """Of the name, or of two words: `api key`."""
    if name == b"PWD" and head.endswith((b";", b'"', b"'")) and separator == b"=":  # ODBC; a shell's is a folder
        return "password"
    label = label_of_key(name.strip(b"-.").decode(errors="replace"))
    if not label and _SECOND_WORD.fullmatch(name) and (word := _WORD_BEFORE.search(head)):
        return label_of_key((word[0] + name).decode(errors="replace"))
    return label


def _value(text: bytes, pair: _Pair, until: bytes) -> tuple[int, int]:
    """Where the value begins and ends."""
    start, is_login = pair.at, pair.label == "authorization"
    if is_login and not _SCHEME_WITH_PARTS.match(text, start) and (scheme := _SCHEME.match(text, start)):
        start = scheme.end()
    if pair.is_list:
        end = _LIST_END.search(text, start).start() if pair.opening else _first(text, b"]", start)
    elif pair.opening:
        end = _closing_quote(text, start, pair.opening)
    elif pair.separator.endswith(b")=("):
        end = _first(text, b")", start)
    elif until:
        at = text.find(until, start, start + MOST)
        end = start + len(text[start:at].rstrip()) if at >= 0 else start
    elif is_login and (parts := _PARTS.match(text, start)):
        end = parts.end()
    elif pair.label == "cookie" and b"=" in text[start : start + MOST]:
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
    if pair.label in (WEAK, KEY):
        text = text[: start + MOST]
    end = _BARE_END.search(text, start).start()
    is_yaml = pair.label == "password" and pair.separator == b": " and not pair.quote and _begins_line(text, pair.begin)
    if is_yaml and not _WORD_OF_AN_ERROR.fullmatch(text[start:end]) and not is_empty(text[start:end]):
        end = _LINE_END.search(text, start).start()
    return start + len(_without_closing(text[start:end]))


def _without_closing(value: bytes) -> bytes:
    """Without the punctuation after it; a bracket belongs to the value if one was opened in it."""
    return value.rstrip(b" ,;" if any(opening in value for opening in b"([{") else b" ,;)]}")


def _begins_line(text: bytes, position: int) -> bool:
    """Whether only a mark of a list or a diff, or the beginning of the name, stand before it in its line."""
    before = text[max(0, position - 80) : position]
    line = before.rpartition(b"\n")[2]
    return len(line) < 80 and not line.strip(b" \t").lstrip(b"-+ ").strip(_NAME_BYTES)


def _is_prose(text: bytes, pair: _Pair, start: int, end: int) -> bool:
    """Whether the name is followed by more text, a column or a flag, rather than by its value."""
    value, after, separator = text[start:end], text[end : end + 6], pair.separator.strip()
    if _is_ordinary(pair, value):
        return True
    if separator in (b",", b"") and pair.opening:  # ["password", "email"], {"token", "value": …}
        return is_word(value) or bool(_IS_KEY.match(text, end))
    if pair.opening:  # "orders"."user_id" = "users"."id"
        return b"=" in separator and after.replace(b"\\", b"").startswith(b'"."')
    if pair.label in IDENTIFIER_STEMS and b"=" in separator and _NAME_OF_COLUMN.fullmatch(value):
        return True
    if not separator:  # --token --verbose
        return value.startswith(b"-") and value.replace(b"-", b"").isalpha()
    if separator == b"|" or separator.endswith(b">"):
        is_element = separator != b"|" and not pair.quote
        return any(byte in value for byte in b" (<") or (is_word(value) and not is_element)
    if separator == b":" and not pair.quote:
        return _is_prose_after_colon(text, pair, start, end)
    return separator[:1].isalpha() and _is_word_or_place(value)


def _is_word_or_place(value: bytes) -> bool:
    """`expired`, `api-tls`, `/run/token`: not `correcthorse78`."""
    digits = sum(byte in b"0123456789" for byte in value)
    is_human = digits > 1 and len(value) > 8 and value.isalnum()
    return bool(_WORD_OF_AN_ERROR.fullmatch(value) or _PLACE.fullmatch(value) or (is_word(value) and not is_human))


def _is_ordinary(pair: _Pair, value: bytes) -> bool:
    """Whether the value is none of a secret under this name, wherever it stands."""
    if pair.label == KEY:
        return not is_generated(value)
    if pair.label == WEAK:
        return not _is_of_a_weak_name(pair.name, value)
    if pair.label == "cookie":
        return not pair.opening and b"=" not in value and not is_random(value)
    if pair.name == b"secret":  # of Kubernetes: its name
        return (pair.is_path and pair.separator == b":") or (b"-" in value and is_word(value) and bool(pair.opening))
    return False


def _is_of_a_weak_name(name: bytes, value: bytes) -> bool:
    """`pin: 4711`, `salt=x7f…`: not `auth=none`, `session: closed`."""
    if value.strip(b"0123456789abcdef-") == b"":
        return False  # an id
    is_code = name.lower().endswith(b"pin") and value.isdigit() and 4 <= len(value) <= 12
    return is_code or is_random(value)


def _is_prose_after_colon(text: bytes, pair: _Pair, start: int, end: int) -> bool:
    value, after = text[start:end], text[end : end + 6]
    separator_is_blank = pair.separator.endswith(b" ")
    if _WORD_OF_AN_ERROR.fullmatch(value) or (value.isdigit() and after == b" bytes"):  # kubectl describe secret
        return True
    if (pair.name == b"PASS" and separator_is_blank) or (len(value) < 4 and pair.label not in _MAY_BE_A_WORD):
        return True
    if b"." in pair.name and value.isdigit():  # TokenService.java:42
        return True
    is_line = after[:1] in (b"", b"\n", b"\r") and _begins_line(text, pair.begin)
    has_scheme = start > pair.at
    is_strict = is_line or has_scheme or pair.label in _MAY_BE_A_WORD
    return not is_strict and len(value) <= 32 and _is_word_or_place(value.rstrip(b":.!?"))


_MAY_BE_A_WORD = ("password", "user", "customer", "card", "one_time_code")


def _rule(pattern: str, until: bytes = b"") -> Pairs:
    """Groups: name, quote after it, separator, bracket of a list, opening quote."""
    return Pairs(re2.compile(pattern.encode()), until)


PAIRS: tuple[Pairs | Reversed, ...] = (
    _rule(rf"{_NAME}{_COLOUR}({_QUOTE})?\]?({_SEPARATORS}){_VALUE}"),
    _rule(rf"(?:^|[\s\"'])--?[\w.-]*?{_NAME}()(\\*[\"']\s*,\s*|\s+){_VALUE}"),  # --token x, ["--token", "x"]
    _rule(rf"Key \([^()\n]*?{_NAME}()([^()\n]*\)=\(){_VALUE}"),  # PostgreSQL: Key (email)=(x) already exists.
    _rule(rf"{_NAME}({_QUOTE})(\s*,\s*){_OPENING}"),  # ("password", "x")
    _rule(rf"{_NAME}()((?:\s*:\s*[&\[\]'<>\w.:*]+|\s+(?:{_TYPE}))\s*:?=\s*){_OPENING}"),  # token string = "x"
    _rule(rf"{_NAME}({_QUOTE})(\s+[^<>]*?\b(?i:value|content)\s*=\s*){_OPENING}"),  # <add key="password" value="x"/>
    _rule(rf"<[^<>]*?{_NAME}({_QUOTE})?((?:\s[^<>]*)?>)()()", b"</"),  # <password>x</password>
    _rule(rf"{_NAME}({_QUOTE})((?:\\[rn]|[\r\n])+)()()"),  # multipart: name="password"
    _rule(rf"\|\s*`?[\w. -]*?{_NAME}(`?)(\s*\|\s*)()()", b"|"),  # | password | x |
    _rule(
        rf"{_NAME}({_QUOTE})?(\s+(?i:is|was|to|are)(?:\s+now|\s+set\s+to|\s+changed\s+to)?:?\s+){_VALUE}"
    ),  # the token is x
    _rule(rf"{_NAME}()(\s+-+>?\s+){_OPENING}"),  # token - 'x'
    _rule(rf"\b(?:login|user|username)\s+\S+\s+{_NAME}()(\s+)()()"),  # .netrc
    Reversed(
        re2.compile(
            rf"\\*[\"'](?i:value|setting)\\*[\"']\s*:\s*\\*[\"']([^\"'\\]+)\\*[\"']\s*,\s*\\*[\"'](?:name|key)\\*[\"']\s*:\s*"
            rf"\\*[\"']([\w./-]*{ANY_NAME}[\w.-]*)".encode()
        )
    ),
    Reversed(
        re2.compile(rf"[\"']([^\"'\s]+)[\"']\s*[!=]={{1,2}}\s*([\w.-]*{ANY_NAME}[\w.-]*)".encode())
    ),  # "x" == password
)
