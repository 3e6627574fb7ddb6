"""`make notebooks`: execute every notebook on the demo case and keep its outputs, so that a reader on the web sees charts.

What depends on the machine or the moment is not kept: a second run writes the same bytes. The incident of the demo case, wherever
it is named (`parameters/demo.yaml`, the parameters cell of each notebook), is taken from the case itself.
"""

import json
import re
import sys
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient

from nl_forensics.delivery.kernel import EncryptedKernel
from tests.recorded import recorded_case

TOP = Path(__file__).parent.parent
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
DEMO_PARAMETERS = TOP / "parameters" / "demo.yaml"
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_KEYS = {"tags"}
INCIDENT_LINE = re.compile(r"^(incident: dict = )\{.*\}(?=  # )", re.MULTILINE)
INCIDENT_BLOCK = re.compile(r"^incident:\n(?:[ ].*\n)+", re.MULTILINE)


def demo_incident() -> dict:
    """The question that the demo case answers, what it is called first, without what was left empty."""
    asked = recorded_case("demo").incident.model_dump(mode="json")
    return {name: value for name, value in ({"id": asked["id"], "title": asked["title"]} | asked).items() if value}


def executed(path: Path, incident: dict):
    """A notebook with the outputs of the demo case. Raises CellExecutionError where a cell fails: nothing is written then."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = INCIDENT_LINE.sub(lambda found: found[1] + _as_python(incident), cell.source)
    client = NotebookClient(notebook, kernel_manager_class=EncryptedKernel, resources={"metadata": {"path": TOP}})
    client.record_timing = False
    client.execute()
    return cleaned(notebook)


def cleaned(notebook):
    """Without what the tools that ran it or showed it left behind."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in CELL_KEYS}
        for output in cell.get("outputs", []):
            output.pop("transient", None)
    return notebook


def _as_python(incident: dict) -> str:
    """On one line; text and mappings of text are written alike in JSON and in Python."""
    return json.dumps(incident, ensure_ascii=False)


def _as_yaml(incident: dict) -> str:
    return yaml.safe_dump({"incident": incident}, sort_keys=False, allow_unicode=True, width=120)


def main() -> None:
    incident = demo_incident()
    text = DEMO_PARAMETERS.read_text(encoding="utf-8")
    DEMO_PARAMETERS.write_text(INCIDENT_BLOCK.sub(lambda _: _as_yaml(incident), text), encoding="utf-8")
    for path in NOTEBOOKS:
        nbformat.write(executed(path, incident), path)
        print(path.relative_to(TOP))


if __name__ == "__main__":
    sys.exit(main())
