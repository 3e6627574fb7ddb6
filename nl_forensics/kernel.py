"""The kernel that runs a notebook without a person: what it says to us is encrypted, also on this machine."""

from jupyter_client.manager import AsyncKernelManager


class EncryptedKernel(AsyncKernelManager):
    """A kernel with keys of its own; otherwise any user of the machine could read what passes over loopback."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, transport_encryption="auto", **options)
