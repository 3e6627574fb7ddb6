"""The cluster's DNS, in the little that pods need of it: `service.namespace.svc.cluster.local` gives IPv4 addresses."""

import asyncio
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from tests.stack.process import HOST

DOMAIN = "svc.cluster.local"
A, ANY = 1, 255
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
ANSWER, AUTHORITATIVE = 0x8000, 0x0400
TTL_S = 5


def answer(query, addresses):
    """The answer to one question (RFC 1035, section 4); `addresses` are those of each name, None where the server knows nothing."""
    number, flags = struct.unpack_from("!HH", query)
    name, end = _read_name(query, 12)
    (kind,) = struct.unpack_from("!H", query, end)
    known = (addresses or {}).get(name.lower())
    found = (known or []) if kind in (A, ANY) else []
    code = SERVER_FAILURE if addresses is None else NO_SUCH_NAME if known is None else NO_ERROR
    flags = ANSWER | AUTHORITATIVE | (flags & 0x0100) | code
    head = struct.pack("!HHHHHH", number, flags, 1, len(found), 0, 0)
    # 0xC00C points to the name in the question, which starts at byte 12.
    records = [struct.pack("!HHHIH", 0xC00C, A, 1, TTL_S, 4) + bytes(map(int, each.split("."))) for each in found]
    return head + query[12 : end + 4] + b"".join(records)


def _read_name(message, at):
    """A name, and where it ends."""
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels), at + 1


class Protocol(asyncio.DatagramProtocol):
    """Answers from what `look()` gives: {name: [address, …]}, or None."""

    def __init__(self, look):
        self.look = look

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, sender):
        self.transport.sendto(answer(query, self.look()), sender)


@dataclass
class Served:
    """Names and their addresses as they are answered now, None for a server that knows nothing, and where."""

    names: dict[str, list[str]] | None
    port: int = 0

    @property
    def address(self):
        return f"{HOST}:{self.port}"


@contextmanager
def serving(**services):
    """A server of its own on loopback: `auth_service="10.96.0.7"` is in the namespace neurallog-system."""
    names = {f"{name.replace('_', '-')}.neurallog-system.{DOMAIN}": [address] for name, address in services.items()}
    served, loop = Served({f"kubernetes.default.{DOMAIN}": ["10.96.0.1"]} | names), asyncio.new_event_loop()

    async def listen():
        made, _ = await loop.create_datagram_endpoint(lambda: Protocol(lambda: served.names), (HOST, 0))
        return made

    transport = loop.run_until_complete(listen())
    served.port = transport.get_extra_info("sockname")[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
