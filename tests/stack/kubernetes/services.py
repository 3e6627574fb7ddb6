"""Service addresses that work, as kube-proxy makes them, and service names, as the cluster's DNS knows them.

A connection to a service is passed to one of its ready endpoints. kube-proxy writes rules into the machine's firewall;
this is a process that listens on the addresses instead (they are this machine's own, see network.py) and copies bytes.
A service without a ready endpoint refuses connections.

A service with the annotation FORWARD leads to a server of the tests on loopback: an endpoint may not be there.
"""

import asyncio
import random
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.stack.kubernetes import dns
from tests.stack.kubernetes.api import Api, Refused
from tests.stack.kubernetes.control_plane import admin_kubeconfig
from tests.stack.process import Process, new_folder

TOP = Path(__file__).parents[3]

FORWARD = "nl-forensics.test/forward"  # value: "127.0.0.1:5432"
LOOK_EVERY_S = 0.3
READY = "ready"  # a file that says so
NO_NAMES = "no-names"  # a file that says that the DNS knows none
CHUNK_BYTES = 65536


@dataclass(kw_only=True)
class Services(Process):
    """It counts as started once it has read the services."""

    def answers(self):
        return (self.folder / READY).exists()

    def forget_names(self):
        """From now on every look-up is answered with SERVFAIL."""
        (self.folder / NO_NAMES).touch()


def start(keys, addresses):
    """Start the process for a cluster."""
    command = [sys.executable, "-m", __name__, admin_kubeconfig(keys), addresses.dns]
    environment = {"PYTHONPATH": str(TOP)}
    return Services(command=command, folder=new_folder("services"), port=0, environment=environment).start()


class Forwarder:
    def __init__(self, api, dns_address):
        self.api = api
        self.dns_address = dns_address
        self.targets = {}  # where each service address leads: {(address, port): [(host, port), …]}
        self.names = {}  # the addresses of each name
        self.servers = {}

    async def run(self):
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: dns.Protocol(self.known_names), (self.dns_address, 53))
        while True:
            # A frozen API server changes nothing about the connections that there are.
            with suppress(OSError, Refused):
                await asyncio.to_thread(self.look)
                await self.listen()
                Path(READY).touch()
            await asyncio.sleep(LOOK_EVERY_S)

    def known_names(self):
        return None if Path(NO_NAMES).exists() else self.names

    def look(self):
        """Read services and their endpoints."""
        slices = {}
        for each in self.api.get("EndpointSlice"):
            metadata = each["metadata"]
            service = metadata["namespace"], metadata.get("labels", {}).get("kubernetes.io/service-name")
            slices.setdefault(service, []).append(each)
        targets, names = {}, {}
        for service in self.api.get("Service"):
            metadata, spec = service["metadata"], service["spec"]
            address = spec.get("clusterIP")
            if not address or address == "None":  # a name without an address of its own
                continue
            names[f"{metadata['name']}.{metadata['namespace']}.{dns.DOMAIN}"] = [address]
            for port in spec["ports"]:
                targets[address, port["port"]] = self.endpoints(service, port, slices)
        self.targets, self.names = targets, names

    def endpoints(self, service, port, slices):
        name = service["metadata"]["namespace"], service["metadata"]["name"]
        if name == ("default", "kubernetes"):
            server = urlsplit(self.api.url)
            return [(server.hostname, server.port)]
        if forward := service["metadata"].get("annotations", {}).get(FORWARD):
            host, _, number = forward.rpartition(":")
            return [(host, int(number))]
        return [
            (address, target["port"])
            for each in slices.get(name, [])
            for target in each["ports"] or []
            if target.get("name", "") == port.get("name", "")
            for endpoint in each["endpoints"] or []
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        ]

    async def listen(self):
        """Listen on the addresses that lead somewhere, and on no others."""
        wanted = {place for place, targets in self.targets.items() if targets}
        for place in self.servers.keys() - wanted:
            self.servers.pop(place).close()
        for place in wanted - self.servers.keys():
            self.servers[place] = await asyncio.start_server(self.forwarding(place), *place)

    def forwarding(self, place):
        async def forward(reader, writer):
            try:
                there = await asyncio.open_connection(*random.choice(self.targets[place]))
            except (OSError, LookupError):  # the endpoint, or the last one of the service, has just gone
                writer.transport.abort()
                return
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

        return forward


async def copy(reader, writer):
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    # When one side has ended, so has the connection.
    with suppress(OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(Forwarder(Api.of_kubeconfig(Path(sys.argv[1])), sys.argv[2]).run())
