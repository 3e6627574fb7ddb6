"""The kernel that runs a notebook without a person: what it says to us is encrypted, also on this machine."""

from jupyter_client.manager import AsyncKernelManager


class EncryptedKernel(AsyncKernelManager):
    """A kernel with keys of its own; otherwise any user of the machine could read what passes over loopback."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, transport_encryption="auto", **options)

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        """End it at once: it keeps nothing. The library would interrupt it first, of which it complains in our error output."""
        self.stop_restarter()
        if self.provisioner:
            await self.provisioner.kill(restart=restart)
            await self.provisioner.wait()
        await self.cleanup_resources(restart=restart)
