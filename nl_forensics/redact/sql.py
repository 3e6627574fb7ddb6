"""SQL without its values: what a statement does stays readable, the data that it concerns does not."""

from typing import Any

import re2

from nl_forensics.redact.shapes import without_tokens

# Tokens that can contain or hide a value; words and operators in between are kept. A digit or a prefix inside a word is no token.
_TOKEN = re2.compile(
    rb"(\$\d+\b|(?:\b[uU]&)?\"(?:[^\"]|\"\")*\")"  # kept: $1, "name"
    rb"|--|/\*"
    rb"|\b[eE]'(?:[^'\\]|\\(?s:.)|'')*(?:'|\\?\z)"
    rb"|(?:\b[bBnNxX]|\b[uU]&)?'(?:[^']|'')*(?:'|\z)"
    rb"|\B\$(?:[\pL_][\pL\pN_]*)?\$"
    rb"|\b(?:0[xXoObB]\w+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?\w*)|\B\.\d+(?:[eE][+-]?\d+)?"
    rb"|\"(?s:.)*\z"  # a torn name, or what resembles one
)
_COMMENT_EDGE = re2.compile(rb"/\*|\*/")

_LIST = r" ?[+-]?\?(?:::\w+)?(?: ?, ?[+-]?\?(?:::\w+)?)* ?"
_FOLDS = tuple(
    (re2.compile(pattern.encode()), becomes)
    for pattern, becomes in {
        r"\s+": rb" ",
        rf"(?i)\b(IN) ?\({_LIST}\)": rb"\1 (?)",
        rf"(?i)\b(ARRAY) ?\[{_LIST}\]": rb"\1[?]",
        rf"(?i)\b(VALUES) ?(\({_LIST}\))(?: ?, ?\({_LIST}\))+": rb"\1 \2",
    }.items()
)


def normalise_sql(query: str) -> str:
    """The statement with its literals replaced by ?, without comments, its white space and its lists folded.

    PostgreSQL cuts statements (`track_activity_query_size`), so whatever is still open at the end is a value too. A plain string that
    holds \\' ends there or not, depending on `standard_conforming_strings`: the rest of the statement is dropped.
    """
    text, position, parts = without_tokens(query).encode(), 0, []
    while match := _TOKEN.search(text, position):
        shown, end = _token(text, match)
        parts += [text[position : match.start()], shown]
        position = end
    folded = b"".join([*parts, text[position:]])
    for pattern, becomes in _FOLDS:
        folded = pattern.sub(becomes, folded)
    return folded.strip().decode()


def _token(text: bytes, match: Any) -> tuple[bytes, int]:
    """The replacement of a token, and where the token ends."""
    token, end = match[0], match.end()
    if match[1]:
        return token, end
    if token == b"--":
        return b" ", _after(text, b"\n", end)
    if token == b"/*":
        return b" ", _after_comment(text, end)
    if token.startswith(b"$"):
        return b"?", _after(text, token, end)
    is_ambiguous = b"\\'" in token and token[:1] not in b"eE"
    return b"?", len(text) if is_ambiguous else end


def _after(text: bytes, what: bytes, start: int) -> int:
    at = text.find(what, start)
    return at + len(what) if at >= 0 else len(text)


def _after_comment(text: bytes, start: int) -> int:
    """Comments nest in PostgreSQL."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(text, start)):
        depth += 1 if edge[0] == b"/*" else -1
        start = edge.end()
    return len(text) if depth else start
