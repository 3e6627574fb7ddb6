"""What a notebook calls: open the case that its parameters name, and show what is concluded from it."""

import os
from pathlib import Path

from nl_forensics.case import DEMO, Case
from nl_forensics.checks import check_limits, run_checks
from nl_forensics.collect import collect
from nl_forensics.errors import ParameterError
from nl_forensics.finding import Findings
from nl_forensics.incident import Incident
from nl_forensics.parameters import Parameters, resolve


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
        return DEMO
    return workspace() / (case or f"cases/{incident_id}")


def open_case(incident: dict, platform: str, case: str, limits: dict, narrative: dict) -> Case:
    """The case that a notebook's parameters name: as it was recorded, or collected now if there is none.

    Raises ParameterError for a parameter that is missing, misspelt or out of range, or that is not the question which the case
    answers; CaseError when the case is broken.
    """
    values = {"incident": incident, "platform": platform, "case": case, "limits": limits, "narrative": narrative}
    folder = case_folder(case, str(incident.get("id", "")))
    if not (folder / "1").is_dir():
        parameters = resolve(values)
        check_limits(parameters.limits)
        return collect(folder, parameters)
    recorded = Case(folder)
    parameters = resolve(values | {"platform": recorded.parameters.platform.model_dump()})
    check_limits(parameters.limits)
    return asked_with(recorded, parameters, open_ended=incident.get("end", "now") == "now")


def asked_with(case: Case, parameters: Parameters, open_ended: bool = False) -> Case:
    """The same case under other limits and another narrative. `open_ended`: the end was `now`, which was resolved long ago."""
    ours = _question(parameters.incident, open_ended)
    theirs = _question(case.incident, open_ended)
    if unlike := sorted(name for name in ours if ours[name] != theirs[name]):
        name = unlike[0]
        raise ParameterError(
            f"{case.folder} was collected for another incident: {name} is {theirs[name]} there, and {ours[name]} here;"
            " name another case, or leave `case` empty and change the id"
        )
    case.parameters = case.parameters.model_copy(
        update={"limits": parameters.limits, "narrative": parameters.narrative}
    )
    return case


def _question(incident: Incident, open_ended: bool) -> dict:
    question = incident.model_dump(mode="json", exclude={"title"})
    return {name: value for name, value in question.items() if not (open_ended and name == "end")}


def verdict(case: Case, section: str) -> Findings:
    """Every finding of one section of the guide, worst first."""
    return run_checks(case, (section,))
