"""Passwords cross a network encrypted only, unless the platform file allows it: `allow_cleartext: true` of an instance."""

import ipaddress
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nl_forensics.errors import NotConfigured
from nl_forensics.inputs.platform import Endpoint

ENCRYPTED = ("require", "verify-ca", "verify-full")  # sslmode; `prefer`, the default, continues without TLS
REMEDY = "use {tls}, or set allow_cleartext: true for this instance in the platform file"
URLS = {"redis": "rediss://", "http": "https://"}


def guarded(system: str, address: str, endpoint: Endpoint) -> tuple[str, bool]:
    """The address as it may be used, and whether a password crosses the network unencrypted, as the platform file allows.

    Raises NotConfigured where that is not allowed. A port-forward and the own machine are no network.
    """
    if endpoint.via or system in ("kubernetes", "dns"):  # a kubeconfig is read elsewhere
        return address, False
    if system in ("postgres", "pgbouncer"):
        return _of_postgres(address, endpoint)
    parts = _split(address)
    if not parts or parts.scheme not in URLS or is_local(parts.hostname or "") or not _has_credentials(parts):
        return address, False
    return address, allowed(endpoint, URLS[parts.scheme])


def allowed(endpoint: Endpoint, tls: str) -> bool:
    """True, or NotConfigured."""
    if not endpoint.allow_cleartext:
        why = "the password would cross the network unencrypted, so nothing was sent"
        raise NotConfigured(why, REMEDY.format(tls=tls))
    return True


def is_local(host: str) -> bool:
    """Whether a host is this machine: a loopback address, or a Unix socket."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or not host or host[0] in "/@"


def _split(address: str) -> Any:
    """The parts of a URL; None for what is none: its client says so."""
    try:
        parts = urlsplit(address)
        return parts if parts.hostname is not None else None
    except ValueError:
        return None


def _has_credentials(parts: Any) -> bool:
    """A token may stand in the place of the user."""
    return bool(parts.password or parts.username or "password" in parse_qs(parts.query))


def _of_postgres(address: str, endpoint: Endpoint) -> tuple[str, bool]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(address).items()}
    except ProgrammingError:
        return address, False  # its client says so
    if _is_safe(parts):
        return address, False
    mode = parts.get("sslmode") or os.environ.get("PGSSLMODE", "prefer")
    if endpoint.allow_cleartext:
        return address, True  # as far as we know: `prefer` may find TLS
    if mode == "disable":
        allowed(endpoint, "sslmode=require, or better verify-full")
    return make_conninfo(address, sslmode="require"), False


def _is_safe(parts: dict[str, str]) -> bool:
    """Whether no password can be read on the way: there is none, no network, or TLS."""
    hosts = parts.get("hostaddr") or parts.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")
    file = Path(parts.get("passfile") or os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    has_password = bool(parts.get("password") or os.environ.get("PGPASSWORD") or file.is_file())
    mode = parts.get("sslmode") or os.environ.get("PGSSLMODE", "prefer")
    return not has_password or mode in ENCRYPTED or all(is_local(host) for host in hosts.split(","))
