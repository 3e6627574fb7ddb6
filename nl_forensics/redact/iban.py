"""Numbers of bank accounts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import re2

from nl_forensics.redact.found import MAX_MATCHES, UNREAD, Found


class Iban(NamedTuple):
    """Bank accounts: the country's length, and check digits that hold."""

    label: str = "iban"
    guard: str = ""
    pattern: Any = re2.compile(rb"(?:\b|_|\x1b\[[0-9;]*m)([A-Z]{2}\d\d(?:[ -]?[A-Z0-9]){10,34})")

    @property
    def source(self) -> bytes:
        return self.pattern.pattern

    def find(self, text: bytes) -> Iterator[Found]:
        for count, match in enumerate(self.pattern.finditer(text)):
            start = match.start(1)
            if count == MAX_MATCHES:
                yield Found(start, len(text), UNREAD)
                return
            end = _end_of_iban(text, start, match.end(1))
            if end:
                yield Found(start, end, self.label)


_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        entry.split(":")
        for entry in "15:NO 16:BE 18:DK FO FI GL NL SD 19:MK SI 20:AT BA EE KZ XK LT LU MN 21:HR LV LI CH 22:BH BG CR GE DE IE ME RS GB VA"
        " 23:TL GI IQ IL OM AE SO 24:AD CZ MD PK RO SA SK ES SE TN VG DZ 25:LY PT ST 26:IS TR 27:BI DJ FR GR IT MR MC SM 28:AL AZ BY CY DO"
        " GT HU LB PL SV NI HN 29:BR EG PS QA UA 30:JO KW MU YE 31:MT SC FK 32:LC 33:RU".replace(" ", ",")
        .replace(",1", " 1")
        .replace(",2", " 2")
        .replace(",3", " 3")
        .split()
    )
    for country in countries.split(",")
}


def _end_of_iban(text: bytes, start: int, end: int) -> int:
    """Where it ends; 0 where it is none."""
    length = _IBAN_LENGTHS.get(text[start : start + 2].decode(), 0)
    taken = 0
    for position in range(start, end):
        taken += text[position] not in b" -"
        if taken == length:
            digits = text[start : position + 1].replace(b" ", b"").replace(b"-", b"").decode()
            ends = not text[position + 1 : position + 2].isalnum()
            number = "".join(str(int(digit, 36)) for digit in digits[4:] + digits[:4])
            return position + 1 if ends and int(number) % 97 == 1 else 0
    return 0
