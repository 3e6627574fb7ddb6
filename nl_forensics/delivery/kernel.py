"""The kernel that executes a notebook for a report: forked from a process that has imported what notebooks need, which saves seconds.

Its messages are encrypted, even on the loopback interface. Their keys lie in a temporary folder that ends with the kernel.
"""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from nl_forensics import private, processes


class EncryptedKernel(AsyncKernelManager):
    """A kernel with its own keys; otherwise any user of the machine could read its loopback traffic."""

    def __init__(self, *arguments, **options):
        self._scratch = private.Scratch()
        file = str(self._scratch.folder / "kernel.json")
        super().__init__(*arguments, transport_encryption="auto", connection_file=file, **options)

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        """Start it; jupyter_client uses the provisioner that is set here."""
        self.provisioner = _Forking(parent=self, kernel_spec=self.kernel_spec)
        await super().start_kernel(**options)

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]
        """Remove what the library leaves behind, and the folder of the keys."""
        await super().cleanup_resources(restart)
        if not restart:
            self._scratch.remove()

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        """End it at once: it has no state. The library would interrupt it first, and print a warning to standard error."""
        self.stop_restarter()
        if self.provisioner:
            await self.provisioner.kill(restart=restart)
            await self.provisioner.wait()
        await self.cleanup_resources(restart=restart)


class _Forking(LocalProvisioner):
    """Forks a kernel process, where the library would start a program."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """`cmd`: the program and its arguments, of which those from `-f` on are used; `options`: those of Popen."""
        self.process = _Process(cmd[cmd.index("-f") :], options["env"], options.get("cwd"))
        processes.start(self.process, "nl_forensics.delivery.preload_kernel")
        self.pid = self.pgid = self.process.pid
        self.cwd = options.get("cwd") or Path.cwd()
        return self.connection_info


class _Process(processes.context.Process):  # type: ignore[name-defined]
    """A process that jupyter_client can treat as a Popen. It is a daemon, so that it ends with its parent."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: str | None):
        super().__init__(daemon=True)
        self.arguments, self.environment, self.folder = arguments, environment, folder

    def run(self) -> None:
        """Do what the program `ipykernel_launcher` does, in a new session, so that Ctrl-C on the terminal does not reach it."""
        import pandas as pd
        from ipykernel.kernelapp import IPKernelApp

        pd.set_option(
            "display.max_columns", 20
        )  # the default in a kernel; pandas was imported earlier, with the default of a terminal
        os.setsid()
        # A collection blocks the signal while it forks the first process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        os.environ.clear()
        os.environ.update(self.environment)
        if self.folder:
            os.chdir(self.folder)
        sys.argv = ["ipykernel_launcher", *self.arguments]
        keys = Path(self.arguments[self.arguments.index("-f") + 1]).parent
        threading.Thread(target=_die_with_our_parent, args=(keys,), daemon=True).start()
        IPKernelApp.launch_instance(
            [*self.arguments, f"--IPKernelApp.parent_handle={os.getppid()}"]
        )  # without it, ipykernel prints a message

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, signum: int) -> None:
        if self.pid and self.exitcode is None:
            os.kill(self.pid, signum)


def end_kernels() -> None:
    """Kill all kernels, whatever they do."""
    for process in multiprocessing.active_children():
        if isinstance(process, _Process):
            process.kill()


def _die_with_our_parent(keys: Path) -> None:
    """The fork server outlives the kernel's creator, so ipykernel's own detection fails: wait for the creator instead."""
    if asking := multiprocessing.parent_process():
        asking.join()
    private.remove(keys)
    os._exit(1)
