"""Notebooks hold questions and one call each: no logic, no results in prose, nothing that papermill or nbval would skip silently."""

import ast
import re
from functools import cache
from itertools import pairwise

import nbformat
import papermill
import pytest
import yaml

from nl_forensics import checks, sources
from nl_forensics.charts import CHARTS
from nl_forensics.charts.chart import MIME
from nl_forensics.delivery import guide
from nl_forensics.delivery.kernel import EncryptedKernel
from nl_forensics.delivery.report import parameters_of
from nl_forensics.evidence.demo import ARCHIVE
from nl_forensics.inputs import parameters as parameter_files
from nl_forensics.inputs.incident import Incident, Window
from nl_forensics.inputs.parameters import Narrative, Parameters
from tests.charts.test_charts import case_of
from tests.recorded import recorded_case
from tests.write_notebooks import CELL_KEYS, DEMO_PARAMETERS, KERNEL, NOTEBOOKS, TOP

VARIABLES = list(Parameters.model_fields)
WORDS = re.compile(r"[a-z]+(-[a-z]+)*")
LOGIC = (ast.For, ast.While, ast.If, ast.Try, ast.With, ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.comprehension)
SETUP = ("parameters", "incident")
MAX_LINES = 5
FROM_FINDINGS = r"nl\.postmortem\.(what_happened)\(case, findings\)"  # the one chart that shows conclusions, too
GUIDE = yaml.load((TOP / "nl_forensics" / "guide.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
# Numbers of the guide's commands, by section.
NUMBERS = {
    "01": range(1, 16),
    "02": range(16, 34),
    "03": range(34, 51),
    "04": range(51, 66),
    "05": range(66, 78),
    "06": [*range(78, 92), 126, 130],
    "07": range(92, 104),
    "08": range(104, 112),
    "09": range(112, 119),
    "10": range(119, 126),
    "11": [127, 128, 129, 131],
}
ACTIONS = (
    *(f"C{number:03}" for number in (1, 5, 6, 7, 8, 10, 11, 12, 13, 14)),
    "C033",
    *(f"C{number:03}" for number in (39, 40, 41, 42, 44, 45, 46, 48, 50)),
    "C065",
    "C068",
    "C069",
    "C073",
    "C077",
    "C086",
    "C089",
    "C091",
    "C096",
    "C099",
    "C101",
    "C103",
    "C112",
    "C106",
    "C111",
    "C121",
    "C124",
    "C131",
)  # they change something, or show something else: text only
COMMANDS = [(section, command) for section, entry in GUIDE.items() for command in entry["commands"]]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
needs_demo = pytest.mark.skipif(not ARCHIVE.exists(), reason="the demo case is not recorded yet: make record")


def read(path):
    return nbformat.read(path, as_version=4)


def code_of(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def parameters_cell(path):
    [cell] = [cell for cell in code_of(path) if "parameters" in cell.metadata.get("tags", [])]
    return cell


@every_notebook
def test_a_notebook_has_a_size_that_one_reads(path):
    assert 20 <= len(read(path).cells) <= 35
    assert all(len([line for line in cell.source.splitlines() if line.strip()]) <= MAX_LINES for cell in code_of(path))


@every_notebook
def test_it_begins_with_its_question_and_what_it_cannot_answer(path):
    first = read(path).cells[0]
    assert (first.cell_type, first.id) == ("markdown", "question")
    assert first.source.startswith(f"# {int(path.name[:2])}. ")
    assert "**Cannot answer:**" in first.source


@every_notebook
def test_cells_are_named_by_words(path):
    names = [cell.id for cell in read(path).cells]
    assert len(set(names)) == len(names)
    assert all(WORDS.fullmatch(name) for name in names)
    assert [name for name in names if name in (*SETUP, "coverage", "verdict")] == [*SETUP, "coverage", "verdict"]


@every_notebook
def test_a_cell_calls_and_does_not_compute(path):
    for cell in code_of(path):
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, LOGIC)], cell.id
        imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert {name.partition(".")[0] for name in imported} <= {"nl_forensics", "pandas"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert "print" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@every_notebook
def test_prose_stands_before_every_cell(path):
    cells = read(path).cells
    for before, cell in pairwise(cells):
        assert cell.cell_type == "markdown" or cell.id in SETUP or before.cell_type == "markdown", cell.id


@every_notebook
def test_the_report_has_its_own_coverage_and_verdict(path):
    tagged = {cell.id for cell in read(path).cells if "not-in-report" in cell.metadata.get("tags", [])}
    assert {"coverage", "verdict"} <= tagged


@every_notebook
def test_papermill_sees_every_parameter_with_its_help(path):
    """It drops in silence one that is annotated `str | None`, and one whose default holds `=`."""
    found = papermill.inspect_notebook(str(path))
    assert list(found) == VARIABLES
    assert all(parameter["help"] and parameter["inferred_type_name"] in ("dict", "str") for parameter in found.values())
    assert parameters_cell(path).source.count("\n") == len(VARIABLES) - 1, "one line each"


@every_notebook
def test_the_defaults_are_those_of_the_demo(path):
    defaults: dict = {}
    exec(parameters_cell(path).source, defaults)
    demo = yaml.safe_load(DEMO_PARAMETERS.read_text(encoding="utf-8"))
    assert {name: defaults[name] for name in VARIABLES} == {"limits": {}, "narrative": {}} | demo
    assert demo["case"] == "demo"


@needs_demo
def test_the_demo_parameters_are_those_of_the_demo_case():
    asked = parameter_files.read(DEMO_PARAMETERS)
    assert asked.incident == recorded_case("demo").incident


@every_notebook
def test_nothing_of_a_machine_or_a_moment_is_kept(path):
    notebook = read(path)
    assert dict(notebook.metadata) == KERNEL
    assert {name for cell in notebook.cells for name in cell.metadata} <= CELL_KEYS


@needs_demo
@every_notebook
def test_every_cell_was_executed(path):
    """nbval compares nothing in a cell whose stored execution_count is null: it would pass."""
    for number, cell in enumerate(code_of(path), start=1):
        assert cell.execution_count == number, f"{cell.id}: make notebooks"
        assert {output.output_type for output in cell.outputs} <= {"display_data", "execute_result"}, cell.id


@needs_demo
@every_notebook
def test_every_chart_is_a_picture_with_words(path):
    for cell in code_of(path):
        charts = charts_in(cell)
        assert bool(charts) == cell.id.startswith("chart-")
        pictures = [output.data for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == len(charts), cell.id
        assert all(picture[MIME]["words"] in picture["text/plain"] for picture in pictures)


def charts_in(cell) -> list[str]:
    return re.findall(r"nl\.charts\.(\w+)\(case\)", cell.source) + re.findall(FROM_FINDINGS, cell.source)


def test_every_chart_has_a_reader():
    used = {name for path in NOTEBOOKS for cell in code_of(path) for name in charts_in(cell)}
    assert used == {*CHARTS, "what_happened"}


@every_notebook
def test_it_runs_through_when_every_system_refused(path, tmp_path):
    """Missing data is reported in place: it is not an error."""
    case = case_of(tmp_path / "case", {}, refused=sources.load())
    out, options = str(tmp_path / "out.ipynb"), {"progress_bar": False, "kernel_manager_class": EncryptedKernel}
    papermill.execute_notebook(str(path), out, parameters_of(case), **options)
    cells = {cell.id: cell for cell in code_of(tmp_path / "out.ipynb")}
    assert not [name for name, cell in cells.items() if charts_in(cell) and len(cell.outputs) != len(charts_in(cell))]
    assert "No problem found in the data available; coverage is incomplete" in str(cells["verdict"].outputs)


def test_the_example_explains_every_key():
    path = TOP / "parameters" / "example.yaml"
    parameter_files.read(path)
    text = path.read_text(encoding="utf-8")
    for model in (Parameters, Incident, Window, Narrative):
        for key in model.model_fields:
            assert re.search(rf"^ *{key}:", text, re.MULTILINE), key


@pytest.mark.parametrize("section", GUIDE)
def test_the_guide_lists_every_command_of_the_section(section):
    assert list(GUIDE[section]["commands"]) == [f"C{number:03}" for number in NUMBERS[section]]


@pytest.mark.parametrize("declared", [sources.load(), checks.load()], ids=["sources", "checks"])
def test_no_declaration_names_a_command_that_there_is_not(declared):
    """Of a section that has no notebook yet, a command may be named already."""
    asked = {command for one in declared.values() for command in one.guide}
    assert sorted(asked - {f"C{number:03}" for number in range(1, 132)}) == []


@cache
def linked() -> dict[str, dict]:
    return guide.sections()


@pytest.mark.parametrize(("section", "command"), COMMANDS)
def test_what_answers_a_command_exists(section, command):
    entry = linked()[section]["commands"][command]
    notebook = TOP / "notebooks" / GUIDE[section]["notebook"]
    cells = {cell.id: cell.source for cell in read(notebook).cells}
    assert entry["wants"]
    assert entry["checks"] or entry.get("not_done")
    assert set(entry["cells"]) <= cells.keys()
    assert f"| {command} |" in cells["guide"]


@pytest.mark.parametrize(("section", "command"), [one for one in COMMANDS if one[1] in ACTIONS])
def test_an_action_says_why_it_is_not_done(section, command):
    assert len(GUIDE[section]["commands"][command]["not_done"]) > 40
