"""The kernel that runs a notebook without a person: forked from a process that has read what notebooks need, which saves it seconds.

What it says to us is encrypted, also on this machine.
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

from nl_forensics import processes


class EncryptedKernel(AsyncKernelManager):
    """A kernel with keys of its own; otherwise any user of the machine could read what passes over loopback."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, transport_encryption="auto", **options)

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        """Start it; jupyter_client asks the provisioner that is there."""
        self.provisioner = _Forking(parent=self, kernel_spec=self.kernel_spec)
        await super().start_kernel(**options)

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        """End it at once: it keeps nothing. The library would interrupt it first, of which it complains in our error output."""
        self.stop_restarter()
        if self.provisioner:
            await self.provisioner.kill(restart=restart)
            await self.provisioner.wait()
        await self.cleanup_resources(restart=restart)


class _Forking(LocalProvisioner):
    """Forks a kernel's process where the library would run a program."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """`cmd`: the program that would be run, its arguments from `-f` on; `options`: those of Popen."""
        self.process = _Process(cmd[cmd.index("-f") :], options["env"], options.get("cwd"))
        processes.start(self.process, "nl_forensics.delivery.preload_kernel")
        self.pid = self.pgid = self.process.pid
        self.cwd = options.get("cwd") or Path.cwd()
        return self.connection_info


class _Process(processes.context.Process):  # type: ignore[name-defined]
    """A process that jupyter_client can treat as one of Popen. It ends with us: a daemon of ours."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: str | None):
        super().__init__(daemon=True)
        self.arguments, self.environment, self.folder = arguments, environment, folder

    def run(self) -> None:
        """What the program `ipykernel_launcher` does, in a session of its own: Ctrl-C on our terminal is none of its business."""
        import pandas as pd
        from ipykernel.kernelapp import IPKernelApp

        pd.set_option(
            "display.max_columns", 20
        )  # its default in a kernel: where it was read before, pandas saw a terminal
        os.setsid()
        # A collection blocks it while it forks the first process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        os.environ.clear()
        os.environ.update(self.environment)
        if self.folder:
            os.chdir(self.folder)
        sys.argv = ["ipykernel_launcher", *self.arguments]
        threading.Thread(target=_die_with_our_parent, daemon=True).start()
        IPKernelApp.launch_instance([*self.arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])  # else it talks

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, signum: int) -> None:
        if self.pid and self.exitcode is None:
            os.kill(self.pid, signum)


def end_kernels() -> None:
    """At once, whatever they do."""
    for process in multiprocessing.active_children():
        if isinstance(process, _Process):
            process.kill()


def _die_with_our_parent() -> None:
    """Who forked us lives as long as we do, so the kernel's own way to notice does not work: we wait for who asked for it."""
    if asking := multiprocessing.parent_process():
        asking.join()
    os._exit(1)
