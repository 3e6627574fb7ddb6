"""What a column of a table holds: its type, its unit, its meaning, and what it means that a value is missing."""

from dataclasses import dataclass

UTC = "datetime64[us, UTC]"
JSON = "JSON"

# A quantity's unit ends its name.
UNITS = {
    "_ms": "milliseconds",
    "_s": "seconds",
    "_bytes": "bytes",
    "_ratio": "ratio, 0 to 1",
    "_per_s": "per second",
    "_per_minute": "per minute",
    "_cores": "CPU cores",
}


@dataclass(frozen=True)
class Column:
    """One column of a source's table.

    dtype     pandas type; times are `UTC`
    meaning   one sentence, without the name of the column and without its unit
    absent    what a null says, where it says something: "not deleted", "no limit is set". It is a value as any other
    form      regular expression that every value fulfils, where others read the value apart, or `JSON`: an object
    unknown   why a null may stand there though there is a value. No rule that reads such a null is granted `ok`

    A column that declares neither should never hold a null. One that does is a gap as well (see `Table.holes`).
    """

    dtype: str
    meaning: str = ""
    absent: str = ""
    unknown: str = ""
    form: str = ""

    def __post_init__(self):
        if self.absent and self.unknown:
            raise ValueError("a null is a value or it is unknown, not both")

    @property
    def nullable(self) -> bool:
        return bool(self.absent or self.unknown)


def unit_of(name: str) -> str:
    """The unit that a column's name ends in; "" for a column without one."""
    if name == "at" or name.endswith("_at"):
        return "UTC"
    return next(
        (unit for ending, unit in sorted(UNITS.items(), key=lambda one: -len(one[0])) if name.endswith(ending)), ""
    )
