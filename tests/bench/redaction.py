"""How fast records are redacted, on one core: ordinary lines, lines with secrets, and the worst of long hostile lines."""

import time

from nl_forensics.redact import Redactor
from tests.bench.measure import tell
from tests.redact.test_contexts import CONTEXTS, NAMES, VALUES, written
from tests.redact.test_redact import ALNUM, HOSTILE, LOWER, chars, seeded

LINES = 20_000


def redaction() -> None:
    rng = seeded("bench")
    words = [chars(LOWER, rng.randint(2, 9))(rng) for _ in range(3_000)]
    lines = [_line(rng, words) for _ in range(LINES)]
    some = [_with_a_secret(rng, line) if rng.random() < 0.02 else line for line in lines]
    tell("redaction of log lines", f"{_speed(lines):.1f} MB/s", "≥ 5 MB/s")
    tell("redaction of log lines, 2 % of them with secrets", f"{_speed(some):.1f} MB/s", "≥ 5 MB/s")
    slowest = max(1 / _speed([piece * (1_000_000 // len(piece))]) for piece in HOSTILE)
    tell("redaction of a hostile line of 1 MB, the slowest", f"{slowest:.2f} s", "≤ 1 s")


def _line(rng, words) -> str:
    said = " ".join(rng.choice(words) for _ in range(rng.randint(6, 25)))
    return f"2026-11-23T21:{rng.randint(10, 59)}:00Z INFO [{rng.choice(words)}-{chars(ALNUM, 8)(rng)}] {said} {rng.randint(1, 99999)} ms"


def _with_a_secret(rng, line: str) -> str:
    context, name, kind = rng.choice(list(CONTEXTS)), rng.choice(NAMES), rng.choice(list(VALUES))
    return f"{line} {written(context, name, VALUES[kind](rng))}"


def _speed(texts: list[str]) -> float:
    """MB per second of processor time, the first time that these texts are seen."""
    redactor, began = Redactor(b"bench"), time.process_time()
    for text in texts:
        redactor.text(text)
    return sum(map(len, texts)) / 1e6 / (time.process_time() - began)
