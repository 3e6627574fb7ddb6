"""What a notebook calls: open the case that its parameters name, and show what is concluded from it."""

import os
from pathlib import Path

from nl_forensics.checks import check_limits, run_checks
from nl_forensics.collection.collect import collect
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.demo import demo
from nl_forensics.finding import Findings
from nl_forensics.inputs.parameters import Parameters, resolve


def workspace() -> Path:
    """Where cases and reports lie, whatever the working folder: $NL_FORENSICS_WORKSPACE, else the nearest folder upwards that
    has a `parameters` folder, else the working folder.
    """
    if named := os.environ.get("NL_FORENSICS_WORKSPACE"):
        return Path(named)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "parameters").is_dir()), here)


def case_folder(case: str, incident_id: str) -> Path:
    """The folder of a case: `demo` is the recorded one that ships; by default `cases/<incident id>` in the workspace."""
    if case == "demo":
        return demo()
    return workspace() / (case or f"cases/{incident_id}")


def unused_folder(name: str) -> Path:
    """A folder for a new case in the workspace: `cases/<name>`, or `cases/<name>-2`, … where there is one already."""
    numbered = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(folder for one in numbered if not (folder := case_folder("", one)).exists())


def is_collected(folder: Path) -> bool:
    """Whether a folder holds a case that nobody has to finish."""
    return (folder / "1").is_dir() and bool(Case(folder).rounds[-1].seal)


def open_case(incident: dict, platform: str, case: str, limits: dict, narrative: dict) -> Case:
    """The case that a notebook's parameters name: as it was recorded; collected now if there is none, or only half of one.

    Raises ParameterError for a parameter that is missing, misspelt or out of range, or that is not the question which the case
    answers; CaseError when the case is broken.
    """
    values = {"incident": incident, "platform": platform, "case": case, "limits": limits, "narrative": narrative}
    if not isinstance(incident, dict):
        raise ParameterError("incident must hold `key: value` lines; compare it with parameters/example.yaml")
    folder = case_folder(case, str(incident.get("id", "")))
    if not is_collected(folder):
        parameters = resolve(values)
        check_limits(parameters.limits)
        return collect(folder, parameters)
    recorded = Case(folder)
    parameters = resolve(values | {"platform": recorded.parameters.platform.model_dump()})
    check_limits(parameters.limits)
    return asked_with(recorded, parameters, open_ended=incident.get("end", "now") == "now")


def asked_with(case: Case, parameters: Parameters, open_ended: bool = False) -> Case:
    """The same case under other limits and another narrative. `open_ended`: the end was `now`, which was resolved long ago."""
    if difference := parameters.incident.unlike(case.incident, open_ended):
        raise ParameterError(
            f"{case.folder} was collected for another question: {difference};"
            " name another case, or leave `case` empty and change the id"
        )
    case.parameters = case.parameters.model_copy(
        update={"limits": parameters.limits, "narrative": parameters.narrative}
    )
    return case


def verdict(case: Case, section: str) -> Findings:
    """Every finding of one section of the guide, worst first; of all of them for one that is about all."""
    return run_checks(case, (section,))
