"""The kernel of a report: what it imports, that its messages are encrypted, and how it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient

from nl_forensics.delivery.kernel import EncryptedKernel

pytestmark = pytest.mark.notebook  # some start one in a program of their own

CODE = (
    "import os, ipykernel.connect as c; print(os.getpid(), c.get_connection_file(), 'curve' in c.get_connection_info())"
)


# A script as one writes it: nothing in it waits for `__name__ == "__main__"`.
SCRIPT = """
import sys
from tests.delivery.test_kernel import said_by
said_by("import os, time; open(" + repr(sys.argv[1]) + ", 'w').write(str(os.getpid())); time.sleep(60)")
"""


def said_by(code, **options) -> str:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_manager_class=EncryptedKernel, **options).execute()
    return "".join(output.text for output in notebook.cells[0].outputs)


@pytest.fixture
def signals(monkeypatch):
    """Every signal that a kernel is sent."""
    sent, send = [], LocalProvisioner.send_signal

    async def remembering(self, signum):
        sent.append(signum)
        await send(self, signum)

    monkeypatch.setattr(LocalProvisioner, "send_signal", remembering)
    return sent


def test_it_is_encrypted_and_ends_without_an_interrupt_and_without_a_trace(signals):
    """An interrupt, as the library sends it, made kernels complain on the error output of a report now and then."""
    process, connection, encrypted = said_by(CODE).split()
    assert encrypted == "True"
    assert signal.SIGINT not in signals
    assert not Path(f"/proc/{process}").exists()
    assert not Path(connection).exists()


def test_it_has_its_own_folder_and_program(tmp_path):
    """It is forked from another process, and has nothing of ours but the environment."""
    code = "import os, sys; print(os.getcwd(), __name__, sys.modules['__main__'].__dict__ is globals(), os.getsid(0) == os.getpid())"
    said = said_by(code, resources={"metadata": {"path": str(tmp_path)}})
    assert said.split() == [str(tmp_path), "__main__", "True", "True"]


def test_its_environment_is_ours_of_now(monkeypatch):
    monkeypatch.setenv("NL_MARK", "of now")
    assert said_by("import os; print(os.environ['NL_MARK'])") == "of now\n"


def test_pandas_shows_tables_as_in_a_kernel_that_started_by_itself():
    options = (
        "{o: str(pd.get_option(o)).lower() for o in pd._config.config._registered_options if o.startswith('display.')}"
    )
    code = f"import pandas as pd; print({options})"  # utf-8, in small letters here, and in large ones there
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook).execute()
    assert said_by(code) == notebook.cells[0].outputs[0].text


AFTER_A_COLLECTION = """
from nl_forensics import processes
from tests.delivery.test_kernel import said_by
processes.start(processes.context.Process(target=print), "nl_forensics.collection.preload")
print(said_by("import pandas as pd; print(pd.get_option('display.max_columns'))"))
"""


def test_so_it_does_where_a_collection_forked_the_first_process():
    done = subprocess.run([sys.executable, "-c", AFTER_A_COLLECTION], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["20"], done.stderr


INTERRUPTED = """
import signal
from multiprocessing import resource_tracker
from tests.delivery.test_kernel import said_by
resource_tracker.ensure_running()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
code = "import time\\ntry:\\n    time.sleep(60)\\nexcept KeyboardInterrupt:\\n    print('interrupted')"
print(said_by(code, timeout=5, interrupt_on_timeout=True))
"""


def test_what_takes_too_long_is_interrupted():
    """Also where the signal was blocked when the first process was forked, as it is during a collection."""
    said = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (said.stdout.strip(), said.stderr) == ("interrupted", "")


def test_it_does_not_outlive_its_parent(tmp_path):
    with subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path / "pid"]) as starting:
        eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        starting.kill()
    eventually(lambda: not Path("/proc", (tmp_path / "pid").read_text()).exists())


def eventually(is_so, within_s=60):
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
