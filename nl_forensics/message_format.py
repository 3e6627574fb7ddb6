"""The words of a finding: `str.format` templates that know units."""

import string

import pandas as pd

from nl_forensics.units import in_bytes, in_percent, in_seconds


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
