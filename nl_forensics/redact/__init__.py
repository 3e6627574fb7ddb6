"""Redaction of everything that is recorded.

Credentials are masked irreversibly: `<SECRET:kind>`. Identifiers that an investigation must join on (e-mail, public IP, customer and
user ids) become stable pseudonyms: `email~k3f9q2mzx4abc`. What responders need stays readable: names of namespaces, tenants, services, pods
and tables, private addresses, query ids, LSNs, digests, trace ids, times, versions.

Rules say which bytes of a text are meant, each on its own: by shape (`shapes.py`) or by the name beside it (`pairs.py`). Where they
overlap, all of it goes. One search for all rules at once shows whether a text is clean, as most are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import re2

from nl_forensics.redact.across import Across
from nl_forensics.redact.certificates import without_certificates
from nl_forensics.redact.first_look import FirstLook
from nl_forensics.redact.found import Found
from nl_forensics.redact.iban import Iban
from nl_forensics.redact.names import IDENTIFIER_STEMS, KEY, SECRET_STEMS, WEAK, is_flag, label_of_key
from nl_forensics.redact.pairs import PAIRS, Pairs, Reversed, is_connection_without_secret, is_empty
from nl_forensics.redact.pseudonyms import Vault, keyed_digest, normal_form, organisation_key, pseudonym
from nl_forensics.redact.shapes import IDENTIFIERS, SECRETS, Shape, is_generated, is_random, without_tokens
from nl_forensics.redact.sql import normalise_sql

__all__ = [
    "Redactor",
    "Vault",
    "excerpt",
    "keyed_digest",
    "normalise_sql",
    "organisation_key",
    "shortened",
    "without_tokens",
]

ERROR = "<REDACTION-ERROR>"
CLASSES = {shape.label for shape in IDENTIFIERS} | IDENTIFIER_STEMS.keys()
RULES: tuple[Shape | Iban | Pairs | Reversed, ...] = (*SECRETS, *IDENTIFIERS, *PAIRS)

NAME_KEYS = ("name", "key", "parameter")
VALUE_KEYS = ("value", "values", "setting")

# Failures that hostile input can cause: RE2's limits, a lone surrogate, deep nesting, more than 2 GB, an object without a text form.
FAILURES = (re2.error, ValueError, RecursionError, OverflowError, TypeError)


class Redactor:
    """What is never written down.

    key     makes the pseudonyms: the same key, the same pseudonyms
    vault   receives each pseudonym and what it stands for
    counts  what was removed, by kind: {"secret:stripe_key": 2, "email": 5, "error": 0}
    """

    def __init__(self, key: bytes, vault: Callable[[str, str], None] | None = None):
        self.counts: Counter[str] = Counter()
        self._key = key
        self._vault = vault
        self._known: dict[tuple[str, str], str] = {}
        self._across: Across | None = None
        self._field = ""

    def stream(self) -> Callable[[Any], Any]:
        """`record` for the records of one answer in their order: what one of them begins, as a private key, is removed from the next."""
        across = Across()

        def record(value: Any) -> Any:
            across.next_record()
            self._across = across
            try:
                return self.record(value)
            finally:
                self._across = None

        return record

    def record(self, value: Any) -> Any:
        """A JSON value with every credential masked and every identifier pseudonymised, at any depth.

        The key of a mapping labels its value. Types that JSON lacks (times, decimals, addresses) becomes text.
        """
        try:
            return self._value(value, "")
        except FAILURES:
            return self._failed()

    def text(self, text: str) -> str:
        """The same for one string: an error message, a log line, a note."""
        return self._text(text, "")

    def _value(self, value: Any, label: str) -> Any:
        if isinstance(value, str):
            return self._text(value, label)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._text(str(value), label) if label in SECRET_STEMS and label not in (WEAK, KEY) else value
        if isinstance(value, list | tuple):
            return [self._value(item, implied or label) for item, implied in _implied(value)]
        if isinstance(value, Mapping):
            return self._mapping(value, label)
        return self._text(str(value), label)

    def _mapping(self, mapping: Mapping[Any, Any], label: str) -> dict[str, Any]:
        """{"name": "DB_PASSWORD", "value": …} has the label in a value, {"password": {"value": …}} one level up."""
        names = [mapping[key] for key in NAME_KEYS if isinstance(mapping.get(key), str)]
        of_value = next(filter(None, map(label_of_key, names)), label)
        clean = {}
        for key, value in ((str(key), value) for key, value in mapping.items()):
            across, self._across = self._across, None  # names of fields continue nothing
            name = self._text(key, "")
            self._across, self._field = across, key
            own = label_of_key(key) or (of_value if key in VALUE_KEYS else "")
            own = label if label == "cookie" and own in ("", WEAK, KEY) else own
            clean[name] = self._value(value, own)
        return clean

    def _text(self, text: str, label: str) -> str:
        """Fails closed: text that can't be searched is not kept."""
        try:
            encoded = text.encode()
            continued = self._across.find(encoded, self._field) if self._across else ()
            found = _found(encoded, label, continued)
            return self._without(encoded, found).decode() if found else text
        except FAILURES:
            return self._failed()

    def _failed(self) -> str:
        self.counts["error"] += 1
        return ERROR

    def _without(self, text: bytes, found: Iterable[Found]) -> bytes:
        parts, position = [], 0
        for span in found:
            removed = text[span.start : span.end]
            parts += [text[position : span.start], span.quote, self._stand_in(span.label, removed).encode(), span.quote]
            position = span.end
        return b"".join([*parts, text[position:]])

    def _stand_in(self, label: str, removed: bytes) -> str:
        if label in CLASSES:
            self.counts[label] += 1
            return self._pseudonym(label, normal_form(label, removed.decode()))
        self.counts[f"secret:{label}"] += 1
        return f"<SECRET:{label}>"

    def _pseudonym(self, label: str, normal: str) -> str:
        if (label, normal) not in self._known:
            name = pseudonym(self._key, label, normal)
            if self._vault:
                self._vault(name, normal)
            self._known[label, normal] = name
        return self._known[label, normal]


MASK = Redactor(b"")  # of credentials alone


def shortened(text: str, most: int) -> str:
    """The beginning of a text that is redacted already: a cut through a secret would hide its shape."""
    return text[:most]


def excerpt(text: str, most: int = 300) -> str:
    """What a foreign text says, on one line: credentials are masked first, and it ends with a whole word. Identifiers stay."""
    try:
        encoded = text.encode("utf-8", "replace")
        secrets = [span for span in _found(encoded, "") if span.label not in CLASSES]
        line = " ".join(MASK._without(encoded, secrets).decode().split())
    except FAILURES:
        return ERROR
    return line if len(line) <= most else line[:most].rpartition(" ")[0] + " …"


def _implied(items: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Each item, and its label from the items before it: ["--password", "x"], ["AUTH", "user", "x"]."""
    before, is_login = "", False
    for item in items:
        is_login = is_login or before in ("AUTH", "AUTH2", "SETUSER")
        yield item, "argument" if is_login or (before and is_flag(before)) else ""
        before = item if isinstance(item, str) else ""


SUSPECTS = FirstLook(RULES)


def _found(text: bytes, label: str, continued: Iterable[Found] = ()) -> list[Found]:
    """What must go from a text under the key `label`, in order, without overlaps. `continued`: what an earlier text began."""
    continued = list(continued)
    matching = SUSPECTS(text)
    if not matching and not label and not continued:
        return []
    spans = continued + [span for index in matching for span in RULES[index].find(text)]
    spans = [span for span in spans if not is_empty(text[span.start : span.end])]
    spans = without_certificates(text, spans)
    if label and _is_whole(text, label, spans):
        spans.append(Found(0, len(text), label))
    elif label == "version":
        spans = [span for span in spans if span.label != "ip"]
    return _merged(spans)


def _is_whole(text: bytes, label: str, spans: list[Found]) -> bool:
    """Whether the key says that all of the text must go. Of a connection, only its secret, if it can be separated."""
    if label == "connection":
        is_parted = b"<SECRET:" in text or any(span.label not in CLASSES for span in spans)
        return not (is_parted or is_connection_without_secret(text))
    if label in (WEAK, KEY):
        return is_generated(text) if label == KEY else is_random(text)
    return label != "version" and not is_empty(text)


def _merged(spans: Iterable[Found]) -> list[Found]:
    """Merges overlapping spans; a secret takes precedence over an identifier, and an earlier rule over a later one."""
    merged: list[Found] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start < merged[-1].end:
            last = merged.pop()
            label = span.label if last.label in CLASSES and span.label not in CLASSES else last.label
            span = Found(last.start, max(last.end, span.end), label, last.quote or span.quote)
        merged.append(span)
    return merged
