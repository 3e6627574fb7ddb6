"""The notebooks in a real JupyterLab, as its page opens them: over its HTTP interface and the socket of a kernel."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid

import nbformat
import pytest
import requests
from websocket import create_connection

from nl_forensics.delivery.report import notebooks, with_case
from tests.recorded import recorded_case
from tests.stack.process import HOST, free_port

pytestmark = pytest.mark.notebook

NAME, TOKEN = "05_database_issues.ipynb", "test-token"
WITHIN_S = 60


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "parameters").mkdir()
    return tmp_path


def command(workspace, *words, **environment):
    ours = {"NL_FORENSICS_WORKSPACE": str(workspace), "JUPYTER_CONFIG_DIR": str(workspace / "jupyter")}
    return subprocess.Popen(
        [sys.executable, "-m", "nl_forensics", "lab", *words],
        cwd=workspace,
        env=os.environ | ours | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def lab(workspace):
    """The address of a JupyterLab that opens no browser."""
    port = free_port()
    written = {"ServerApp": {"port_retries": 0}, "IdentityProvider": {"token": TOKEN}}
    (workspace / "jupyter").mkdir()
    (workspace / "jupyter/jupyter_server_config.json").write_text(json.dumps(written))
    with command(workspace, "demo", "--ip", HOST, f"--port={port}", "--no-browser", "--allow-root") as process:
        address, deadline = f"http://{HOST}:{port}", time.monotonic() + WITHIN_S
        while not _answers(address):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield address
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


def _answers(address):
    try:
        return requests.get(f"{address}/api", timeout=2).ok
    except requests.RequestException:
        return False


def asked(address, body=None):
    """What JupyterLab answers, to a body that is sent if there is one."""
    method = "POST" if body else "GET"
    answer = requests.request(method, address, json=body, timeout=WITHIN_S, params={"token": TOKEN})
    answer.raise_for_status()
    return answer.json()


def executed(channel, code):
    """The outputs of one cell; raises AssertionError when it fails."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "username": "",
        "session": "test",
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channel.send(json.dumps(message))
    outputs = []
    while True:
        told = json.loads(channel.recv())
        if told["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        assert told["msg_type"] != "error", told["content"]
        if told["msg_type"] in ("execute_result", "display_data"):
            outputs.append(told["content"]["data"])
        if told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
            return outputs


def test_a_notebook_runs_in_jupyterlab_up_to_its_verdict(lab):
    copies = {one["name"] for one in asked(f"{lab}/api/contents")["content"]}
    assert copies == {path.name for path in notebooks().values()}
    begun = {"path": NAME, "name": NAME, "type": "notebook", "kernel": {"name": "python3"}}
    session = asked(f"{lab}/api/sessions", begun)
    cells = asked(f"{lab}/api/contents/{NAME}")["content"]["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    upto = next(number for number, source in enumerate(code) if "nl.verdict" in source)
    socket = f"{lab.replace('http', 'ws')}/api/kernels/{session['kernel']['id']}/channels?token={TOKEN}"
    channel = create_connection(socket, timeout=WITHIN_S)
    outputs = [executed(channel, source) for source in code[: upto + 1]]
    [verdict] = outputs[-1]
    assert "critical" in verdict["text/html"]
    assert " findings on " in verdict["text/plain"]
    channel.close()


def test_a_changed_copy_is_kept(workspace):
    folder = with_case(recorded_case("demo"), workspace / "lab")
    copy = folder / NAME
    worked_in = nbformat.read(copy, as_version=4)
    worked_in.cells.append(nbformat.v4.new_markdown_cell("It was the release of 03:24."))
    nbformat.write(worked_in, copy)
    (folder / "06_kubernetes_problems.ipynb").unlink()
    with_case(recorded_case("demo"), folder)
    assert nbformat.read(copy, as_version=4).cells[-1].source == "It was the release of 03:24."
    assert (folder / "06_kubernetes_problems.ipynb").exists()


@pytest.mark.parametrize(
    "other", ['{"metadata": {"papermill": {"parameters": {"case": "/cases/other"}}}}', "half a fi"]
)
def test_a_copy_for_another_case_is_not_taken_for_this_one(workspace, other):
    copy = workspace / "reports/demo/lab" / NAME
    copy.parent.mkdir(parents=True)
    copy.write_text(other)
    with command(workspace, "demo") as process:
        said = process.stdout.read()
    assert process.returncode == 2
    [line] = said.splitlines()
    assert f"{NAME} is a copy for {'/cases/other' if 'other' in other else 'an unknown case'}: move it" in line
    assert copy.read_text() == other
    assert list(copy.parent.iterdir()) == [copy]  # no copies of two cases beside each other


def test_without_jupyterlab_one_line_says_how_to_get_it(workspace):
    (workspace / "sitecustomize.py").write_text(
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'jupyterlab' else find(name, *more)\n"
    )
    with command(workspace, "demo", PYTHONPATH=str(workspace)) as process:
        said = process.stdout.read()
    assert process.returncode == 2
    assert said == "nl-forensics: JupyterLab is not installed: pip install 'nl_forensics[lab]'\n"
    assert not (workspace / "reports").exists()
