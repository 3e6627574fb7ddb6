"""The kernel of a report: what nobody else may read, and how it ends."""

import signal
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient

from nl_forensics.kernel import EncryptedKernel

CODE = (
    "import os, ipykernel.connect as c; print(os.getpid(), c.get_connection_file(), 'curve' in c.get_connection_info())"
)


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
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    NotebookClient(notebook, kernel_manager_class=EncryptedKernel).execute()
    process, connection, encrypted = notebook.cells[0].outputs[0].text.split()
    assert encrypted == "True"
    assert signal.SIGINT not in signals
    assert not Path(f"/proc/{process}").exists()
    assert not Path(connection).exists()
