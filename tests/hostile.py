"""Hostile inputs, generated: names that lead elsewhere, texts that do more than being read, values of every wrong type."""

import itertools

# What a name must not bring into a path, a query, a selector or PromQL.
TRICKS = (
    "../..",
    "..",
    ".",
    "%2e%2e",
    "a/b",
    "/",
    "//",
    "default/services/http:payments:80/proxy/x",
    "default/pods/web-0/exec?command=id",
    "a?watch=true",
    "a#",
    "a%2fb",
    "a%00",
    "a\x00b",
    "a\nb",
    "a\r\nHost: evil",
    "a b",
    "a;b",
    "a,b=c",
    "a=b",
    "a\\b",
    "a'b",
    'a"b',
    'a"} or up{x="',
    "a`b",
    "$(id)",
    "{0}",
    "{incident.__class__}",
    "ａ",
    "a\u202eb",
    "\ud800",
    "A",
    "-a",
    "a" * 300,
    "",
)
WRAPPED = [f"{before}{trick}{after}" for trick in TRICKS for before, after in (("", ""), ("web-", ""), ("", "-0"))]
NAMES = tuple(dict.fromkeys(name for name in WRAPPED if name not in ("web-", "-0", "web-A", "A-0")))
NO_NAMES = tuple(name for name in NAMES if name and name != "web--a")

# What text must not do to a terminal, a page, a title or a line of JSON.
SIGNS = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x1b]52;c;aWQ=\x07",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b31m",
    "\x9d0;owned\x9c",
    "\u202egnp.exe",
    "\u2066hidden\u2069",
    "\u200f",
    "\r\rover",
    "\x00",
    "\x08\x08\x08",
    "\x7f",
    "\ud800",
    "\udc9b",
    "\u2028next",
)
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "<base href=//evil.example>",
    "{{ 7*7 }}",
    "{% for x in y %}",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "&lt;script&gt;",
    "]]><!--",
)
TEXTS = tuple(before + text + after for text in SIGNS + MARKUP for before, after in (("", ""), ("log: ", " end")))

WRONG = (None, True, -1, 1e308, float("nan"), float("inf"), 10**400, "", "x", "\ud800", [], [[]], {}, {"a": {"b": []}})
DATES = (
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2262-04-12T00:00:00Z",
    "-1",
    "now",
    "2026-02-30T00:00:00Z",
    "1e999",
)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


def in_turn(fields, values):
    """One field at a time has one of the values."""
    return list(itertools.product(fields, values))
