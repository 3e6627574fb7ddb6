"""The address of an API server and our identity there, as a kubeconfig says them; keys are in memory only.

The kubernetes client writes the keys of a kubeconfig, and those of a credential plugin, into temporary files, which it removes when
Python exits; a worker is killed before. So TLS reads them at once, and they are removed.
"""

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, list_kube_config_contexts, load_incluster_config, load_kube_config
from urllib3.util.ssl_ import create_urllib3_context
from yaml import YAMLError

from nl_forensics import private
from nl_forensics.connect.cleartext import allowed, is_local
from nl_forensics.errors import NotConfigured
from nl_forensics.inputs.platform import IN_CLUSTER, KubernetesEndpoint
from nl_forensics.redact import excerpt
from nl_forensics.sources.kubernetes.kinds import NAME

UNUSABLE = (ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
PLUGIN = "log in again: run the command that the kubeconfig names as its plugin (`exec`) in a terminal"


class _Log(logging.Handler):
    """Keeps what the client would print on the terminal, as the credential plugin wrote it."""

    def __init__(self, errors: list[str]):
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._errors.append(record.getMessage())


@contextmanager
def _logged() -> Iterator[list[str]]:
    """The errors that the client logs meanwhile."""
    errors: list[str] = []
    handler = _Log(errors)
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)


class Kubeconfig:
    """One context of a kubeconfig, or the cluster that this process runs in.

    host        the address of the API server
    namespace   of the context, "" when it names none
    in_clear    a token or password crosses the network unencrypted, as the platform file allows
    tls         with the authority and our certificate; None where the address is not https
    """

    def __init__(self, address: str, endpoint: KubernetesEndpoint):
        # Like every other system, the cluster is never reached through a proxy that an environment variable names.
        self._settings = Configuration(proxy="", no_proxy="")
        self._scratch, self._one_reads = private.Scratch(), threading.Lock()
        self.namespace, self._variable = "", endpoint.endpoint
        with self._reading():
            if address == IN_CLUSTER:
                load_incluster_config(client_configuration=self._settings)
            else:
                load_kube_config(address, endpoint.context or None, self._settings, False, str(self._scratch.folder))
                self.namespace = _namespace(address, endpoint.context)
            if self.namespace and not NAME.fullmatch(self.namespace):
                raise ValueError(f"its context names the namespace {self.namespace!r}")
            self.host = self._settings.host.rstrip("/")
            self.tls = _context(self._settings) if self.host.startswith("https") else None
        self.in_clear = not self.tls and not is_local(urlsplit(self.host).hostname or "") and self._has_credentials
        if self.in_clear:
            allowed(endpoint, "https:// in the kubeconfig")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What the client does with files and plugins; its temporary files are removed afterwards."""
        try:
            with self._one_reads, _logged() as errors:
                yield
            if errors:  # the client would continue without credentials
                raise NotConfigured(f"the credential plugin failed: {excerpt(errors[0])}", PLUGIN)
        except UNUSABLE as error:
            remedy = f"{self._variable} must hold the path of a kubeconfig, as kubectl reads it"
            raise NotConfigured(f"the kubeconfig can't be used: {excerpt(str(error))}", remedy) from None
        finally:
            for file in self._scratch.folder.glob("*"):
                file.unlink()

    def headers(self) -> dict[str, str]:
        """The headers of a request, with our identity. Asks a credential plugin when it has expired."""
        headers = {"User-Agent": "nl_forensics", "Accept": "application/json, */*", "Content-Type": "application/json"}
        with self._reading():
            if bearer := self._settings.auth_settings().get("BearerToken"):
                headers[bearer["key"]] = str(bearer["value"])
            if self._settings.username:
                headers["authorization"] = str(self._settings.get_basic_auth_token())
        return headers

    @property
    def _has_credentials(self) -> bool:
        return bool(self._settings.api_key or self._settings.username)

    def pool(self) -> urllib3.PoolManager:
        """Connections to the API server."""
        pool = ApiClient(self._settings).rest_client.pool_manager
        if self.tls:
            of_files = ("ca_certs", "cert_file", "key_file", "ca_cert_data")
            pool.connection_pool_kw |= dict.fromkeys(of_files) | {"ssl_context": self.tls}
        return pool

    def close(self) -> None:
        self._scratch.remove()

    def websocket(self) -> dict[str, Any]:
        """The same, in the words of the WebSocket library."""
        tls = {"context": self.tls, "server_hostname": self._settings.tls_server_name}
        sslopt = {name: value for name, value in tls.items() if value is not None}
        return {"sslopt": sslopt} | _proxy(self._settings)


def _namespace(address: str, context: str) -> str:
    """The namespace of the context: the one to read where we may not read all."""
    contexts, current = list_kube_config_contexts(address)
    chosen = next((one for one in contexts if one["name"] == context), current)
    return chosen["context"].get("namespace", "")


def _context(settings: Configuration) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE)
    context.check_hostname = settings.verify_ssl and settings.assert_hostname is not False
    if settings.ssl_ca_cert:
        context.load_verify_locations(settings.ssl_ca_cert)
    else:
        context.load_default_certs()
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _proxy(settings: Configuration) -> dict[str, Any]:
    """The kubeconfig's, and none of the environment."""
    proxy = urlsplit(settings.proxy or "")
    if not proxy.hostname:
        return {"http_no_proxy": ["*"]}
    found: dict[str, Any] = {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "http_no_proxy": ["-"]}
    if proxy.username:
        found["http_proxy_auth"] = unquote(proxy.username), unquote(proxy.password or "")
    return found
