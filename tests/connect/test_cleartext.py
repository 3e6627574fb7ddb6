"""No password crosses a network unencrypted, unless the platform file allows it; the report says so."""

import socket
import threading
from contextlib import closing

import pytest

from nl_forensics.connect import cleartext, open_link
from nl_forensics.errors import NotConfigured, SourceError
from nl_forensics.inputs.platform import Budget, Endpoint, KubernetesEndpoint, PortForward, PostgresEndpoint
from tests.connect.test_keys import kubeconfig

ALLOWED = {"allow_cleartext": True}
IN_CLEAR = [
    ("redis", "redis://u:secret@redis.example:6379/0"),
    ("redis", "redis://:secret@10.0.0.1"),
    ("redis", "redis://redis.example/0?password=secret"),
    ("prometheus", "http://u:secret@prometheus.example:9090"),
    ("prometheus", "HTTP://u:secret@[2001:db8::1]:9090/prefix"),
    ("alertmanager", "http://token@alertmanager.example"),
    ("grafana", "http://api_key:secret@grafana.example"),
    ("probe", "http://u:secret@api.example/health"),
    ("postgres", "postgresql://u:secret@db.example/x?sslmode=disable"),
    ("pgbouncer", "host=db.example password=secret sslmode=disable dbname=pgbouncer"),
    ("postgres", "postgresql://u:secret@127.0.0.1,db.example/x?sslmode=disable"),
    ("postgres", "postgresql://u:secret@localhost/x?sslmode=disable&hostaddr=10.0.0.1"),
    ("redis", "redis://u:secret@127.0.0.1.evil.example"),
]
FINE = [
    ("redis", "rediss://u:secret@redis.example"),
    ("redis", "redis://redis.example"),
    ("redis", "redis://u:secret@127.0.0.1:6379"),
    ("redis", "unix://u:secret@/run/redis.sock"),
    ("prometheus", "https://u:secret@prometheus.example"),
    ("prometheus", "http://prometheus.example:9090"),
    ("prometheus", "http://u:secret@[::1]:9090"),
    ("postgres", "postgresql://u:secret@db.example/x?sslmode=verify-full"),
    ("postgres", "postgresql://u:secret@db.example/x?sslmode=require"),
    ("postgres", "postgresql://u:secret@localhost/x"),
    ("postgres", "postgresql://u@db.example/x?sslmode=disable"),
    ("postgres", "host=/run/postgresql password=secret"),
    ("postgres", "no address"),
    ("dns", "10.96.0.10"),
]
ENDPOINTS = {"postgres": PostgresEndpoint}


def endpoint(system, **options):
    return ENDPOINTS.get(system, Endpoint)(endpoint="X", **options)


@pytest.fixture(autouse=True)
def no_passwords_of_ours(monkeypatch, tmp_path):
    for name in ("PGPASSWORD", "PGSSLMODE", "PGHOST", "PGHOSTADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))


@pytest.mark.parametrize(("system", "address"), IN_CLEAR)
def test_a_password_in_clear_is_refused_unless_it_is_allowed(system, address):
    with pytest.raises(NotConfigured, match="unencrypted") as refused:
        cleartext.guarded(system, address, endpoint(system))
    assert "secret" not in f"{refused.value} {refused.value.remedy}"
    assert cleartext.guarded(system, address, endpoint(system, **ALLOWED)) == (address, True)
    forwarded = endpoint(system, via=PortForward(port_forward="a/pod/b:1"))
    assert cleartext.guarded(system, address, forwarded) == (address, False)


@pytest.mark.parametrize(("system", "address"), FINE)
def test_an_address_that_sends_none_is_used_as_it_is(system, address):
    assert cleartext.guarded(system, address, endpoint(system)) == (address, False)


@pytest.mark.parametrize("mode", ["", "?sslmode=prefer", "?sslmode=allow"])
def test_postgres_with_a_password_must_offer_tls(mode):
    """By default libpq would continue without."""
    used, in_clear = cleartext.guarded("postgres", f"postgresql://u:secret@db.example/x{mode}", endpoint("postgres"))
    assert "sslmode=require" in used
    assert not in_clear


@pytest.mark.parametrize("where", ["PGPASSWORD", "PGPASSFILE"])
def test_a_password_of_libpq_counts(where, monkeypatch, tmp_path):
    (tmp_path / "passwords").write_text("*:*:*:*:secret")
    monkeypatch.setenv(where, str(tmp_path / "passwords"))
    with pytest.raises(NotConfigured):
        cleartext.guarded("postgres", "postgresql://u@db.example/x?sslmode=disable", endpoint("postgres"))


def test_a_server_that_offers_no_tls_is_no_outage(monkeypatch):
    """It is asked for TLS, says no, and gets nothing."""
    monkeypatch.setattr(cleartext, "is_local", lambda _: False)
    received = []

    def answer(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(8)
            connection.sendall(b"N")
            received.append(connection.recv(1000))

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        address = f"postgresql://u:secret@127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(NotConfigured, match="SSL was required") as refused:
            open_link("postgres", address, endpoint("postgres"), Budget())
    assert "allow_cleartext" in refused.value.remedy
    assert b"".join(received) == b""


def test_a_token_of_a_kubeconfig_is_sent_over_https_only(tmp_path, monkeypatch):
    class Api:
        port = 80

        class authority:
            root = tmp_path / "ca"

    (tmp_path / "ca").touch()
    file = kubeconfig(tmp_path / "kube", Api, {"token": "secret"})
    file.write_text(file.read_text().replace("https://localhost:80", "http://api.example"))
    with pytest.raises(NotConfigured, match="unencrypted"):
        open_link("kubernetes", str(file), KubernetesEndpoint(), Budget())
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:1")
    with pytest.raises(SourceError, match=r"api\.example|resolve|Name|resolution"):  # the host itself is tried
        open_link("kubernetes", str(file), KubernetesEndpoint(allow_cleartext=True), Budget(connect_s=1))
