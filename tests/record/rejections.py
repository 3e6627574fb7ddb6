"""Rejected credentials in the logs of services, and in their answers; and requests that the API server denied."""

import json
from contextlib import contextmanager

from tests.record.access import account
from tests.record.kubernetes.objects import SYSTEM, container, eventually, home, pod
from tests.record.prometheus import MINUTES, counting, past
from tests.record.services import GATEWAY, REQUESTS
from tests.record.specimens import specimen

LOGS = ("k8s_logs", "k8s_unhealthy_logs")
DENIED = (*LOGS, "k8s_events", "k8s_role_rules", "k8s_bindings", "k8s_service_accounts")
ADDRESS = "203.0.113.%d"  # reserved for documentation
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjIwMjYtMTAifQ.eyJzdWIiOiJ1c2VyLTQ3MTEiLCJ0ZW5hbnQiOiJhY21lIn0.c2lnbmF0dXJlLW9mLWEtdGVzdA"


def rejected(message, client):
    """A line as an auth service writes it."""
    known = {"level": "warn", "service": "auth-service", "message": f"GET /v1/token 401: {message}"}
    return json.dumps(known | {"method": "GET", "route": "/v1/token", "status": 401, "client_ip": ADDRESS % client})


@contextmanager
def writes(server, lines, pause_s=0):
    """An auth service that writes these lines, then nothing more."""
    home(server)
    server.wait("ServiceAccount", "default", SYSTEM, until=bool)
    script = "\n".join(f"echo '{line}'; sleep {pause_s}" for line in lines)
    server.apply(pod("auth-service", container(f"{script}\necho done; exec sleep 1000", name="auth-service")))
    eventually(lambda: "done" in log_of(server))
    yield


def log_of(server):
    try:
        return server.kubectl("logs", "-n", SYSTEM, "auth-service")
    except Exception:  # noqa: BLE001 (it has not started yet)
        return ""


@specimen("no_service_rejects_valid_tokens", sources=LOGS)
@contextmanager
def key_id_unknown(server):
    """The message of jwks-rsa."""
    message = 'Unable to find a signing key that matches "2026-11"'
    with writes(server, [rejected(message, n) for n in range(5)]):
        yield


@specimen("clients_renew_their_tokens", sources=LOGS)
@contextmanager
def token_sent_again(server):
    """The message of jsonwebtoken."""
    with writes(server, [rejected("jwt expired", 7)] * 12, pause_s=2):
        yield


@specimen("no_burst_of_rejected_credentials", sources=LOGS)
@contextmanager
def api_keys_tried(server):
    with writes(server, [rejected("unknown API key", 1 + n % 7 // 6) for n in range(80)]):
        yield


@specimen("no_log_has_a_credential", sources=LOGS)
@contextmanager
def token_in_the_log(server):
    with writes(server, [json.dumps({"level": "debug", "message": f"request with Authorization: Bearer {JWT}"})]):
        yield


@specimen("services_reject_as_few_requests_as_before", sources=("prom_service_requests",), baseline=True)
@contextmanager
def rejects_a_third(server):
    """A third of the requests is rejected since twelve minutes."""
    good, failed = (REQUESTS % 200, counting(2 * MINUTES, 8)), (REQUESTS % 401, counting(12, 4))
    with past(server, GATEWAY, good, failed, minutes=2 * MINUTES):
        yield


@specimen("no_request_to_the_api_is_denied", sources=DENIED)
@contextmanager
def denied(server):
    """The message of the API server, asked by a service account without rights; a program logs it as it came."""
    home(server)
    server.apply(account("reporter"))
    who = f"system:serviceaccount:{SYSTEM}:reporter"
    message = f'pods is forbidden: User "{who}" cannot list resource "pods" in API group "" in the namespace "{SYSTEM}"'
    with writes(server, [json.dumps({"level": "error", "message": message})] * 3):
        yield
