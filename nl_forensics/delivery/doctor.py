"""Connections, permissions, and the checks that a missing permission prevents: every source is queried once, and nothing is saved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from nl_forensics import private
from nl_forensics.checks import load as load_checks
from nl_forensics.checks import run_checks
from nl_forensics.collection.collect import REACHED, collect
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Findings, Severity
from nl_forensics.inputs.parameters import Parameters
from nl_forensics.sanitize import printable
from nl_forensics.sources import Permission, Source, connection_of
from nl_forensics.sources import load as load_sources

ACCESS = "k8s_access"
MAX_NAMES = 10  # checks in a line of text
MAX_LINES = 12
READINGS_S = 0.5
SEVERITIES = list(Severity)
NOT_REFUSED = ("NotServed", "BadAnswer")  # not offered by the server, or not parsable: no matter of permission


class Missing(NamedTuple):
    """Permissions that the identity lacks, and the checks that each of them prevents, worst first.

    of            the system and instance: `kubernetes-main`
    permissions   in the terms of the system: `list events`, `pg_monitor`, `+slowlog|get`
    namespaces    Kubernetes namespaces that lack them; none: all that need them
    adds          what an optional permission would add; "" for required ones
    checks        names of checks; sources: names of sources with a gap
    """

    of: str
    permissions: tuple[str, ...]
    namespaces: tuple[str, ...]
    adds: str
    checks: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def matters(self) -> bool:
        """Whether the verdict is affected, and not only notes."""
        return any(load_checks()[name].severity != Severity.NOTE for name in self.checks)

    def __str__(self):
        where = f" in {', '.join(self.namespaces)}" if self.namespaces else ""
        adds = f" (optional, adds {self.adds})" if self.adds else ""
        prevented = f"{_counted(len(self.checks), 'check')}: {_some(self.checks)}" if self.checks else "no check"
        return f"{self.of} lacks {', '.join(self.permissions)}{where}{adds} → prevents {prevented}"


@dataclass(frozen=True)
class Diagnosis:
    """The result of a trial collection.

    reached   {`kubernetes-main`: the state of the connection}
    missing   permissions, those that prevent most checks first
    beyond    {`kubernetes-main`: rights beyond read-only access}
    findings  of the trial; coverage: each query of it
    """

    reached: dict[str, str]
    missing: list[Missing]
    beyond: dict[str, list[str]]
    findings: Findings
    coverage: pd.DataFrame

    @property
    def exit_code(self) -> int:
        return 3 if self.findings.blind_spots or any(one.matters for one in self.missing) else 0

    def as_json(self) -> dict:
        return {
            "reached": self.reached,
            "missing": [one._asdict() for one in self.missing],
            "more_than_needed": self.beyond,
            "unknown": self.findings.gaps().to_dict("records"),
            "coverage": self.coverage.to_dict("records"),
        }

    def lines(self) -> Iterator[str]:
        """As text: connections first, then each gap with the checks that it prevents."""
        yield from (f"{system}: {state}" for system, state in self.reached.items())
        yield from map(str, self.missing[:MAX_LINES])
        if more := sum(len(one.permissions) for one in self.missing[MAX_LINES:]):
            yield f"and {_counted(more, 'permission')} more with less impact (--json)"
        listed = {name for one in self.missing for name in one.checks}
        for gap in Findings(one for one in self.findings.unknowns if one.check not in listed).gaps().to_dict("records"):
            prevented = f"{_counted(gap['checks'], 'check')}: {_some(gap['undetermined'].split(', '))}"
            yield f"{gap['data gap']} ({gap['remedy']}) → prevents {prevented}"
        for system, rights in self.beyond.items():
            yield f"note: the identity has more rights on {system} than needed: {', '.join(rights)}"
        unknown = {one.check for one in self.findings.unknowns}
        yield f"{_counted(len(unknown), 'check')} undetermined" if unknown else "no check undetermined"


def diagnose(asked: Parameters) -> Diagnosis:
    """Collect into a temporary folder, which is removed afterwards."""
    asked = asked.with_budget(readings_s=READINGS_S)
    with private.Scratch() as trial:
        case = collect(trial / "case", asked)
        missing = sorted(_merged([*_refused_by_kubernetes(case), *_refused(case)]), key=_worst_first)
        return Diagnosis(_reached(case, missing), missing, _beyond(case), run_checks(case), case.coverage())


def _reached(case: Case, missing: list[Missing]) -> dict[str, str]:
    tried = case.answers.get(REACHED, {})
    states = {name: answer.why for name, answer in tried.items()}
    rows = case.read(REACHED).rows
    states |= dict(zip(rows.instance, rows.why, strict=True))
    in_clear = dict.fromkeys(case.passwords_in_clear, ", password sent unencrypted")
    return {
        name: printable(why) or f"reached{_rights(case, name, missing)}{in_clear.get(name, '')}"
        for name, why in sorted(states.items())
    }


def _rights(case: Case, name: str, missing: list[Missing]) -> str:
    """Claims that no permission is missing only where all of them are known."""
    if lacking := sum(len(one.permissions) for one in missing if one.of == name):
        return f", lacks {_counted(lacking, 'permission')}"
    system, _, instance = name.partition("-")
    if system == "kubernetes":
        rights = case.answers.get(ACCESS, {}).get(instance)
        known = bool(rights and rights.is_whole)
    else:
        ours = [s.name for s in load_sources().values() if connection_of(s.system) == system]
        asked = [name for name in ours if case.instances(name)]
        answers = [case.answers.get(name, {}).get(instance) for name in asked]
        known = all(answer and (not answer.error or answer.error in NOT_REFUSED) for answer in answers)
    return ", no missing permissions" if known else ", permissions undetermined"


def _refused_by_kubernetes(case: Case) -> Iterator[Missing]:
    """According to its own access review, whatever the queries returned."""
    for row in _access(case):
        if row.needed and not row.allowed:
            pair = (row.verb, row.resource)
            names = {one.name for one in load_sources().values() if pair in one.needs.of_kubernetes()}
            yield _missing(case, f"kubernetes-{row.instance}", f"{row.verb} {row.resource}", names, row.namespace)


def _refused(case: Case) -> Iterator[Missing]:
    """Permissions refused by the other systems, and by a Kubernetes without an access review: the remedy of each answer's gaps."""
    knows = {f"kubernetes-{row.instance}" for row in _access(case)}
    lacking: dict[tuple[str, str], set[str]] = {}
    for name, source in load_sources().items():
        system = connection_of(source.system)
        for gap in case.gaps(name):
            of, permission = f"{system}-{gap.instance}", _permission(source.needs, system, gap.remedy)
            if permission and of not in knows:
                lacking.setdefault((of, permission), set()).add(name)
        for instance in _holed(case, source) if system != "kubernetes" else ():
            lacking.setdefault((f"{system}-{instance}", getattr(source.needs, system)), set()).add(name)
    for (of, permission), names in lacking.items():
        names |= {name for name in load_sources() if _withheld(case, load_sources()[name], of, permission)}
        yield _missing(case, of, permission, names)


def _holed(case: Case, source: Source) -> set[str]:
    """Instances that withheld values of a table, where a null means that."""
    if source.hole or not source.needs.remedy(source.system):
        return set()
    return {*case.read(source.name).rows_with_holes.instance}


def _withheld(case: Case, source: Source, of: str, permission: str) -> bool:
    """Whether a permission that is known to be missing explains unknown values in a table of this instance."""
    system, _, instance = of.partition("-")
    if connection_of(source.system) != system or getattr(source.needs, system, "") != permission:
        return False
    rows = case.read(source.name).rows
    unknown = [name for name, column in source.columns.items() if column.unknown]
    return bool(rows.loc[rows.instance == instance, unknown].isna().any(axis=None))


def _permission(needs: Permission, system: str, remedy: str) -> str:
    """The permission that would close a gap; "" if a permission is not the cause."""
    wanted = [f"{verb} {resource}" for verb, resource in needs.of_kubernetes()]
    if system != "kubernetes":
        wanted = [getattr(needs, system, "")]
    sentences = {Permission(**{system: one}).remedy(system): one for one in wanted if one}
    return sentences.get(remedy, "")


def _missing(case: Case, of: str, permission: str, names: set[str], namespace: str = "") -> Missing:
    adds = next(filter(None, (load_sources()[name].needs.adds for name in names)), "")
    namespaces = (namespace,) if namespace else ()
    return Missing(of, (permission,), namespaces, adds, _checks_on(case, names), tuple(sorted(names)))


def _checks_on(case: Case, names: set[str]) -> tuple[str, ...]:
    """The checks that need one of these tables, worst first, without those of systems that the platform declares absent.

    Whether a system answers is known even if it refuses every query.
    """
    names = names - {REACHED}
    found = [one for one in load_checks().values() if names & {*one.needs} and all(map(case.instances, one.needs))]
    return tuple(one.name for one in sorted(found, key=lambda one: (_rank(one.name), one.name)))


def _merged(found: list[Missing]) -> list[Missing]:
    """One entry for all namespaces of a permission, and one for all permissions that prevent the same checks."""
    places: dict[tuple, list[Missing]] = {}
    for one in found:
        places.setdefault((one.of, one.permissions), []).append(one)
    alike: dict[tuple, list[Missing]] = {}
    for same in places.values():
        anywhere = any(not one.namespaces for one in same)
        namespaces = () if anywhere else tuple(sorted(name for one in same for name in one.namespaces))
        one = same[0]._replace(namespaces=namespaces)
        alike.setdefault((one.of, one.namespaces, one.adds, one.checks), []).append(one)
    return [
        same[0]._replace(
            permissions=tuple(one.permissions[0] for one in same),
            sources=tuple(sorted({name for one in same for name in one.sources})),
        )
        for same in alike.values()
    ]


def _beyond(case: Case) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in _access(case):
        if not row.needed and row.allowed:
            where = f" in {row.namespace}" if row.namespace else ""
            found.setdefault(f"kubernetes-{row.instance}", []).append(f"{row.verb} {row.resource}{where}")
    return found


def _access(case: Case) -> list:
    return list(case.read(ACCESS).rows.itertuples())


def _rank(check: str) -> int:
    return SEVERITIES.index(Severity(load_checks()[check].severity))


def _worst_first(one: Missing) -> tuple:
    return min(map(_rank, one.checks), default=len(SEVERITIES)), -len(one.checks), one.of, one.permissions


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f", and {more} more (--json)" if more > 0 else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
