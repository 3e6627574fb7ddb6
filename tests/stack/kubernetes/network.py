"""The addresses of a cluster's pods and services, and the way to them. They exist on this machine only.

Nothing is left behind: all of it hangs on one network interface whose other end lies in a network namespace that a
process of ours holds. When that process ends, the kernel takes the interface, its routes and its addresses away.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.stack.process import PORTS, Process, free_port, new_folder, program, run


@dataclass(frozen=True)
class Addresses:
    """A /24 for pods and one for services, made from a number that no other cluster has."""

    number: int

    @classmethod
    def new(cls):
        while True:
            addresses = cls(free_port() - PORTS.start)
            if not Path(f"/sys/class/net/{addresses.interface}").exists():  # another test run's
                return addresses

    @property
    def interface(self):
        return f"nl{self.number}"

    @property
    def pods(self):
        return f"10.{128 + self.number // 256}.{self.number % 256}.0/24"

    @property
    def services(self):
        return f"10.{64 + self.number // 256}.{self.number % 256}.0/24"

    @property
    def node(self):
        """The address of the node, and the way out of each pod."""
        return self.pods.replace(".0/24", ".1")

    @property
    def dns(self):
        return self.service(10)

    def service(self, last):
        """The service address that ends with a number."""
        return self.services.replace(".0/24", f".{last}")


@dataclass(kw_only=True)
class Network(Process):
    addresses: Addresses

    def answers(self):
        # Before `unshare` has made the namespace, the process is still in ours.
        own, its = (f"/proc/{pid}/ns/net" for pid in ("self", self.popen.pid))
        return run(["readlink", own]) != run(["readlink", its])

    def connect(self):
        """Lay the way to pods and services.

        The addresses of pods that are no more lead into an empty namespace, and never off this machine: a running pod's
        own route, which the CNI plugin sets, is narrower. All service addresses are ours to listen on (see services.py).
        """
        name, addresses = self.addresses.interface, self.addresses
        inner = ["type", "veth", "peer", "name", "eth0", "netns", self.popen.pid]
        run([program("ip"), "link", "add", name, *inner])
        run([program("ip"), "link", "set", name, "up"])
        run([program("ip"), "address", "add", f"{addresses.node}/32", "dev", name])
        run([program("ip"), "route", "add", addresses.pods, "dev", name])
        run([program("ip"), "route", "add", "local", addresses.services, "dev", name])
        return self

    @property
    def cni(self):
        """The configuration of the CNI plugins: a pair of interfaces for each pod."""
        addresses = {
            "type": "host-local",
            "dataDir": str(self.folder / "addresses"),
            "ranges": [[{"subnet": self.addresses.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins = [{"type": "ptp", "ipMasq": False, "ipam": addresses}]
        return {"cniVersion": "0.4.0", "name": self.addresses.interface, "plugins": plugins}


def start(addresses):
    command = [program("unshare"), "--net", "sleep", "infinity"]
    folder = new_folder("network")
    # It listens nowhere.
    return Network(command=command, folder=folder, port=0, addresses=addresses).start().connect()
