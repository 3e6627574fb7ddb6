"""Which rules may match a text: found in one pass over it, as most texts need none.

Each rule has a guard, a pattern of which a match needs some literal text (`ghp_`, `password`). All literals together are one small
automaton, whatever the text. The few rules without a literal (addresses, card numbers) are a second one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import re2

LONG = 32_768  # bytes; beyond, hostile text could make an automaton grow, so each rule searches separately
MANY = 5
_COUNTED = re2.compile(rb"\{[1-9]\d+(?:,\d*)?\}")


class FirstLook:
    """The rules that may match; a rule's `guard` is "" where it has no literal."""

    def __init__(self, rules: Sequence[Any]):
        self._without = [index for index, rule in enumerate(rules) if not rule.guard]
        by_guard: dict[str, list[int]] = {}
        for index, rule in enumerate(rules):
            if rule.guard:
                by_guard.setdefault(rule.guard, []).append(index)
        self._guarded = list(by_guard.values())
        self._literals = _set(f"(?i:{guard})".encode() for guard in by_guard)
        self._shapes = _of(rules, self._without)
        # Many rules with one guard, which is in many texts: a second look decides.
        self._second = {at: _of(rules, indexes) for at, indexes in enumerate(self._guarded) if len(indexes) > MANY}

    def __call__(self, text: bytes) -> list[int]:
        """In the order of the rules."""
        is_long = len(text) > LONG
        found = self._without[:] if is_long else [self._without[at] for at in self._shapes.Match(text) or ()]
        for guard in self._literals.Match(text) or ():
            indexes = self._guarded[guard]
            if guard in self._second and not is_long:
                indexes = [indexes[at] for at in self._second[guard].Match(text) or ()]
            found += indexes
        found.sort()
        return found


def _of(rules: Sequence[Any], indexes: list[int]) -> Any:
    return _set(_COUNTED.sub(b"+", rules[index].source) for index in indexes)


def _set(patterns: Iterable[bytes]) -> Any:
    options = re2.Options()
    options.max_mem, options.log_errors = 64 << 20, False
    found = re2.Set.SearchSet(options)
    for pattern in patterns:
        found.Add(pattern)
    found.Compile()
    return found


def literal_of(pattern: str) -> str:
    """A pattern of literals one of which every match has: the longest one, or `a|b` of a group; "" where there is none."""
    best, run, inner, depth = "", "", "", 0
    for token, quantifier in [*_tokens(pattern.removeprefix("(?i)")), (")", "")]:
        opens, closes = token[0] == "(" and token[-1] != ")", token == ")"
        if depth or opens or closes or quantifier or not _is_literal(token):
            best, run = max(best, run, key=_worth), ""
        else:
            run += re.escape(token[-1])
        if closes and depth == 1 and (not quantifier or quantifier == "+"):
            parts = [literal_of(part) for part in alternatives(inner)]
            best = max(best, "|".join(parts) if all(parts) else "", key=_worth)
        depth += opens - closes
        inner = "" if opens and depth == 1 else inner + token + quantifier
    return best if _worth(best) > 1 else ""


def _is_literal(token: str) -> bool:
    return not token[1:].isalnum() if token[0] == "\\" else token not in ".^$|" and len(token) == 1


def _worth(guard: str) -> int:
    """The length of the shortest literal; alternatives are worth a little less."""
    parts = guard.replace("\\", "").split("|")
    return min(map(len, parts)) - (len(parts) > 1)


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    """Each token of a pattern (a character, a class, a bracket) with its quantifier."""
    for match in _TOKEN.finditer(pattern):
        yield match[1], match[0][len(match[1]) :]


_TOKEN = re.compile(
    r"(\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\(\?[A-Za-z-]+\)|\(\?[A-Za-z-]*:|\(\?P<\w+>|\\.|.)([*+?]|\{\d+(?:,\d*)?\})?\??"
)


def alternatives(pattern: str) -> Iterator[str]:
    """`a|b(c|d)` as `a` and `b(c|d)`."""
    depth, part = 0, ""
    for token, quantifier in _tokens(pattern):
        depth += (token[0] == "(" and token[-1] != ")") - (token == ")")
        if token == "|" and not depth:
            yield part
            part = ""
        else:
            part += token + quantifier
    yield part
