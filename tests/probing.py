"""Probes an address as a worker does, and words what the rules find."""

import pandas as pd

from nl_forensics import checks
from nl_forensics.connect import open_link
from nl_forensics.inputs.platform import Budget, ProbeEndpoint
from nl_forensics.units import Wording

HOP_S = 0.5
OURS = [one for one in checks.load().values() if all(name.startswith("probe_") for name in one.needs)]
CERTIFICATES = [one.name for one in OURS if one.needs[0] == "probe_certificates"]


def probe(port, scheme="https", path="/health", host="localhost"):
    return open_link("probe", f"{scheme}://{host}:{port}{path}", ProbeEndpoint(endpoint="X"), Budget(connect_s=HOP_S))


def problems(table, names):
    """{check: how it words its first offender}"""
    offset = pd.to_timedelta(table.clock_offset_s.fillna(0) if "clock_offset_s" in table else 0, "s")
    stamped = table.assign(instance="main", asked_at=pd.Timestamp.now("UTC") + offset)
    found = {}
    for one in (checks.load()[name] for name in names):
        rows = one.offenders(stamped, **one.limits)
        if len(rows):
            found[one.name] = Wording(one.because).of(rows.iloc[0].to_dict() | one.limits)
    return found
