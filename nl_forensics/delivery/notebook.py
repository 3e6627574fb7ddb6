"""The entry points of a notebook: open the case that its parameters name, and show its findings."""

import os
from collections.abc import Callable
from pathlib import Path

from nl_forensics.checks import check_limits, run_checks
from nl_forensics.collection.collect import collect
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.demo import demo
from nl_forensics.finding import Findings
from nl_forensics.inputs.parameters import Parameters, resolve


def workspace() -> Path:
    """The folder of cases and reports: $NL_FORENSICS_WORKSPACE, else the nearest parent folder with a `parameters` folder,
    else the working directory.
    """
    if named := os.environ.get("NL_FORENSICS_WORKSPACE"):
        return Path(named)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "parameters").is_dir()), here)


def case_folder(case: str, incident_id: str) -> Path:
    """The folder of a case: `demo` is the recorded case of the package; default: `cases/<incident id>` in the workspace."""
    if case == "demo":
        return demo()
    return workspace() / (case or f"cases/{incident_id}")


def unused_folder(name: str) -> Path:
    """A folder for a new case in the workspace: `cases/<name>`, or `cases/<name>-2`, … if it exists."""
    numbered = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(folder for one in numbered if not (folder := case_folder("", one)).exists())


def is_collected(folder: Path) -> bool:
    """Whether a folder holds a complete case: its newest round is sealed."""
    return (folder / "1").is_dir() and bool(Case(folder).rounds[-1].seal)


def open_case(incident: dict, platform: str, case: str, limits: dict, narrative: dict) -> Case:
    """The case that a notebook's parameters name; see `open_or_collect`."""
    values = {"incident": incident, "platform": platform, "case": case, "limits": limits, "narrative": narrative}
    return open_or_collect(values)


def open_or_collect(
    values: dict, where: str = "parameters", collecting: Callable[[Path, Parameters], Case] = collect
) -> Case:
    """The recorded case of these parameters, with their limits and narrative; it is collected if it does not exist or is incomplete.

    Raises ParameterError for a parameter that is missing, misspelt or out of range, or if the case was collected for another
    incident; CaseError if the case is broken.
    """
    incident = values.get("incident", {})
    if not isinstance(incident, dict):
        raise ParameterError("incident must hold `key: value` lines; compare it with parameters/example.yaml")
    folder = case_folder(str(values.get("case") or ""), str(incident.get("id", "")))
    if not is_collected(folder):
        parameters = resolve(values, where)
        check_limits(parameters.limits)
        return collecting(folder, parameters)
    case = Case(folder)
    parameters = resolve(values | {"platform": case.parameters.platform.model_dump()}, where)
    check_limits(parameters.limits)
    # An end of `now` was resolved when the case was collected.
    if difference := parameters.incident.unlike(case.incident, incident.get("end", "now") == "now"):
        raise ParameterError(
            f"{case.folder} was collected for other parameters: {difference};"
            " set another case, or leave `case` empty and change the id"
        )
    asked = case.incident.model_copy(update={"tenant": parameters.incident.tenant})
    if asked.tenant and not case.parameters.platform.tenants:
        raise ParameterError("incident.tenant: the platform file of this case does not say how tenants are named")
    case.use_parameters(
        case.parameters.model_copy(
            update={"incident": asked, "limits": parameters.limits, "narrative": parameters.narrative}
        )
    )
    return case


def verdict(case: Case, section: str) -> Findings:
    """The findings of one section of the guide, worst first; sections 01 and 11 cover all findings."""
    return run_checks(case, (section,))
