"""How quantities read, in findings and on charts alike; and the templates of findings, which know units."""

import string

import pandas as pd

BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_bytes(value: float) -> str:
    """Binary units, as `free` and `kubectl` count them."""
    for unit in BYTES:
        if abs(value) < 1024 or unit == BYTES[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def in_seconds(value: float) -> str:
    """The two largest units."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s".replace(".0 s", " s")
    for unit, size, smaller, small_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if value >= size:
            whole, rest = divmod(value, size)
            return f"{whole:.0f} {unit}" + (f" {rest // small_size:.0f} {smaller}" if rest >= small_size else "")
    raise AssertionError("unreachable")


def in_percent(ratio: float) -> str:
    percent = ratio * 100
    return f"{percent:.1f} %" if percent < 10 and percent != round(percent) else f"{percent:.0f} %"


def amount(resource: str, value: float) -> str:
    """Of a quota or a node: `requests.memory` and `storage` in bytes, others as a number."""
    is_of_bytes = any(word in resource for word in ("memory", "storage", "hugepages"))
    return in_bytes(value) if is_of_bytes else f"{value:g}"


class Wording(string.Formatter):
    """A template over the values of one row.

    {used_bytes:bytes}     1.5 GiB
    {age_s:seconds}        3 h 12 min
    {share_ratio:percent}  87 %
    {count:number}         12,345
    Any other format is Python's own. A null reads "unknown".
    """

    def __init__(self, template: str):
        self.template = template

    def of(self, values: dict) -> str:
        """Raises KeyError for a name that the row lacks: a bug of the check."""
        return self.vformat(self.template, (), values)

    def format_field(self, value, format_spec: str) -> str:
        if value is None or pd.isna(value):
            return "unknown"
        if shown := SHOWN.get(format_spec):
            return shown(float(value))
        return format(value, format_spec)


SHOWN = {"bytes": in_bytes, "seconds": in_seconds, "percent": in_percent, "number": lambda value: f"{value:,.0f}"}
