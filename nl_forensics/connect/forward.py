"""Systems inside a cluster, through its API server: what `kubectl port-forward` does, for this process only.

The kubernetes client's own port-forward knows no timeout, hides why it was refused, and drops what a server says last. So its
protocol is spoken here: a WebSocket for each connection, where the first byte of a message names the channel (0 data, 1 errors),
and the first message of a channel repeats the port.

No other process may use the analyst's way in: redis and requests are given a socket that no other process can open, libpq a `LocalPort`.
"""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import websocket

from nl_forensics.connect.kubernetes import LOG_IN, KubernetesLink, connect, message
from nl_forensics.errors import BadAnswer, NotAllowed, NotReachable, SourceError
from nl_forensics.inputs.platform import Budget, Cluster, PortForward
from nl_forensics.redact import excerpt
from nl_forensics.sources.kubernetes.kinds import ENDPOINT_SLICES, PODS, SERVICES

PROTOCOL = "v4.channel.k8s.io"
DATA, ERRORS = 0, 1  # channels
CHUNK = 1 << 16
MAX_WAITING = 1 << 20  # bytes that the pod sent and that were not read yet
PERMISSION = "allow us to get and create pods/portforward in namespace {namespace}"


class Forward:
    """The way to one port of one pod. Opened at once, so that a refusal is known before the system is asked.

    through   what custody notes: which pod of which cluster
    failure   why the latest connection failed, as far as the cluster said so
    """

    def __init__(self, via: PortForward, cluster: Cluster, budget: Budget):
        until = time.monotonic() + budget.connect_s
        self._connect_s = budget.connect_s
        self.failure: SourceError | None = None
        self._namespace, kind, self._pod, self._port = via.target
        try:
            with _on_the_way(), closing(connect(cluster.address, cluster.endpoint, budget)) as api:
                self._kubeconfig, self._headers = api.kubeconfig, api.kubeconfig.headers()
                found = _service(api, self._namespace, self._pod, until) if kind == "service" else None
            if found:
                self._pod, self._port = ready_pod(f"{self._namespace}/{self._pod}", self._port, *found)
            self._first: websocket.WebSocket | None = self._dialled(until - time.monotonic())
        except SourceError as error:
            why = f"through cluster {cluster.name}: {error}"
            raise type(error)(why, error.remedy, error.on_the_way) from None
        pod = {"port_forward": via.port_forward, "pod": f"{self._namespace}/{self._pod}", "port": self._port}
        self.through = pod | {"cluster": cluster.name, "cluster_uid": api.identity["cluster_uid"]}

    def _dialled(self, within_s: float) -> websocket.WebSocket:
        """A connection of its own to the port of the pod."""
        self.failure = None
        path = f"{PODS.path(self._namespace, self._pod, 'portforward')}?ports={int(self._port)}"
        try:
            far = websocket.create_connection(
                self._kubeconfig.host.replace("http", "ws", 1) + path,
                timeout=max(0.1, within_s),
                header=[f"{name}: {value}" for name, value in self._headers.items()],
                subprotocols=[PROTOCOL],
                suppress_origin=True,
                redirect_limit=0,
                **self._kubeconfig.websocket(),
            )
        except websocket.WebSocketBadStatusException as error:
            raise self._refused(error.status_code, message(error.resp_body or b"")) from None
        except (websocket.WebSocketException, OSError) as error:
            remedy = "see whether the API server and the kubelet of the pod's node answer"
            raise NotReachable(f"no port-forward: {excerpt(str(error))}", remedy, on_the_way=True) from None
        far.settimeout(None)
        return far

    def _refused(self, status: int, said: str) -> SourceError:
        """A pod that is not there or not yet anywhere is an outage of the system; all else says nothing about it."""
        if status in (400, 404):
            remedy = f"see pod {self._pod} in namespace {self._namespace}: the system in it does not run"
            return NotReachable(said or f"HTTP {status}", remedy)
        if status == 401:
            return NotAllowed(f"HTTP 401: {said}", LOG_IN, on_the_way=True)
        if status == 403:
            return NotAllowed(said, PERMISSION.format(namespace=self._namespace), on_the_way=True)
        remedy = "see whether the kubelet of the pod's node answers"
        kind = NotReachable if status >= 500 else BadAnswer
        return kind(f"HTTP {status} instead of a port-forward: {said}", remedy, on_the_way=True)

    def open(self) -> socket.socket:
        """A connection to the port, as a socket. Raises a SourceError; what is noticed later only is the `failure`."""
        ours, near = socket.socketpair()
        try:
            self.carry(near)
        except SourceError:
            ours.close()
            raise
        ours.settimeout(self._connect_s)
        return ours

    def carry(self, near: socket.socket) -> None:
        """Connect a socket with the port, until one of both sides ends."""
        try:
            far, self._first = self._first or self._dialled(self._connect_s), None
        except SourceError as error:
            self.failure = error  # before the other side notices
            near.close()
            raise
        threading.Thread(target=self._relay, args=(near, far), daemon=True).start()

    def _relay(self, near: socket.socket, far: websocket.WebSocket) -> None:
        """Never waits for the near side to read: it may be waiting for us to read."""
        unread, named = b"", set[int]()
        near.setblocking(False)
        with near:
            with suppress(EOFError, websocket.WebSocketException, OSError):
                while True:
                    readable, writable = _ready(near, far.sock, unread)
                    if far.sock in readable:
                        unread += self._received(far, named)
                    if near in readable:
                        if not (data := near.recv(CHUNK)):
                            break
                        far.send_binary(bytes([DATA]) + data)
                    if writable:
                        unread = unread[near.send(unread) :]
            far.shutdown()
            with suppress(OSError):
                near.settimeout(self._connect_s)
                near.sendall(unread)  # a server's last words say why it hung up

    def _received(self, far: websocket.WebSocket, named: set[int]) -> bytes:
        """What the next message brings of data. Raises EOFError after the last one."""
        try:
            opcode, frame = far.recv_data_frame(control_frame=True)
        except (websocket.WebSocketException, OSError):
            raise EOFError from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise EOFError
        if opcode != websocket.ABNF.OPCODE_BINARY or not frame.data:
            return b""
        channel, data = frame.data[0], frame.data[1:]
        if channel not in named:
            named.add(channel)
            return b""
        if channel == ERRORS:
            self.failure = self._closed_port(data.decode(errors="replace"))
        return data if channel == DATA else b""

    def _closed_port(self, said: str) -> NotReachable:
        where = f"port {self._port} of pod {self._namespace}/{self._pod}"
        why = f"nothing listens on {where}" if "connection refused" in said else f"{where}: {excerpt(said)}"
        return NotReachable(why, "see whether the server in the pod runs, and listens on its localhost, too")

    def close(self) -> None:
        """What was not used. A connection ends when its socket is closed."""
        if self._first:
            self._first.shutdown()
            self._first = None


@contextmanager
def _on_the_way() -> Iterator[None]:
    """What fails here fails before the system is met."""
    try:
        yield
    except SourceError as error:
        error.on_the_way = True
        raise


def _service(api: KubernetesLink, namespace: str, name: str, until: float) -> tuple[list[dict], list[dict]]:
    """A service, and its endpoint slices."""
    by_name, by_label = f"metadata.name={name}", f"kubernetes.io/service-name={name}"
    services = api.some(SERVICES, namespace, until - time.monotonic(), fieldSelector=by_name)
    return services, api.some(ENDPOINT_SLICES, namespace, until - time.monotonic(), labelSelector=by_label)


def ready_pod(service: str, port: int, services: list[dict], slices: list[dict]) -> tuple[str, int]:
    """(pod, port of the pod): of the ready ones the first by name. Raises NotReachable: for its clients, too, it is down then."""
    if not services:
        raise NotReachable(
            f"there is no service {service}", "check why it was deleted, or correct `via` in the platform file"
        )
    ports = services[0]["spec"].get("ports") or []
    names = [one.get("name") or "" for one in ports if one["port"] == port]
    if not names:
        there = ", ".join(str(one["port"]) for one in ports) or "none"
        raise NotReachable(
            f"service {service} has no port {port} (there: {there})", "correct `via` in the platform file"
        )
    pods = [
        (endpoint["targetRef"]["name"], target["port"])
        for one in slices
        for target in one.get("ports") or []
        for endpoint in one.get("endpoints") or []
        if (target.get("name") or "") == names[0]
        if (endpoint.get("targetRef") or {}).get("kind") == "Pod"
        if (endpoint.get("conditions") or {}).get("ready") is not False
    ]
    if not pods:
        raise NotReachable(f"no pod behind service {service} is ready", "see its pods and their events")
    return min(pods)


def _ready(near: socket.socket, far: Any, unread: bytes) -> tuple[list, bool]:
    """The sides that can be read, and whether the near side takes what is unread. Not by select(): it knows no descriptor above 1023."""
    if (pending := getattr(far, "pending", None)) and pending():
        return [far], False
    with selectors.DefaultSelector() as waiting:
        waiting.register(near, selectors.EVENT_READ | (selectors.EVENT_WRITE if unread else 0))
        if len(unread) < MAX_WAITING:
            waiting.register(far, selectors.EVENT_READ)
        ready = waiting.select()
    readable = [key.fileobj for key, events in ready if events & selectors.EVENT_READ]
    return readable, any(events & selectors.EVENT_WRITE for _, events in ready)
