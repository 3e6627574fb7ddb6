"""Lines of logs, of every format that we know, as what they tell."""

import time

import pytest

from nl_forensics.sources.kubernetes.lines import decoded, parsed
from nl_forensics.sources.kubernetes.requests import NO_REQUEST


def parse(text):
    return parsed(decoded(text))


NGINX = (
    '10.1.2.3 - - [25/Nov/2026:02:14:09 +0000] "{method} {path} HTTP/1.1" 502 612 "https://a.example/?q=\\"x\\"" "curl/8" 73 1.204'
    " [tenant-acme-log-server-8080] [] {tried} 1f3a"
)


@pytest.mark.parametrize(
    ("text", "kind", "level", "message", "template"),
    [
        ('{"level":"WARN","msg":"slow, 1200 ms"}', "json", "warning", "slow, 1200 ms", "slow, * ms"),
        ('{"level":50,"msg":"pino"}', "json", "error", "pino", "pino"),
        ('{"broken', "plain", "", '{"broken', '{"broken'),
        (
            '{"level":"error","msg":"POST /v1/logs 503","error":"[Errno 111] Connection refused"}',
            "json",
            "error",
            "POST /v1/logs 503: [Errno 111] Connection refused",
            "POST /v1/logs *: [Errno *] Connection refused",
        ),
        ('level=error msg="no route" err="no route"', "logfmt", "error", "no route", "no route"),
        ("[1, 2]", "plain", "", "[1, 2]", "[*, *]"),
        (
            'ts=1 level=error msg="can\'t reach 10.0.0.7:5432"',
            "logfmt",
            "error",
            "can't reach 10.0.0.7:5432",
            "can't reach *",
        ),
        ("E1123 22:10:01.123456       1 main.go:12] gone", "klog", "error", "main.go:12] gone", "main.go:*] gone"),
        (
            "2026-11-23 [ERROR] no such file",
            "plain",
            "error",
            "2026-11-23 [ERROR] no such file",
            "*-*-* [ERROR] no such file",
        ),
        ("an informational word", "plain", "", "an informational word", "an informational word"),
    ],
)
def test_lines(text, kind, level, message, template):
    assert parse(text)[:4] == (kind, level, message, template)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("sent alert to slack, ok", ""),
        ("job finished without error", ""),
        ("entering critical section", ""),
        ("critical section entered", ""),
        ("retried after an error: ok now (warning, slow)", ""),
        ("error: no such file", "error"),
        ("2026-11-23T22:10:01.5Z warn slow query", "warning"),
        ("2026/11/23 22:10:01 [crit] 7#7: *1 open() failed", "fatal"),
        ("2026-11-23 22:10:01 UTC [42] ERROR:  deadlock detected", "error"),
        ("2026-11-23 | warning | disk", "warning"),
        ("WARNING:root:slow", "warning"),
        ("panic: runtime error", "fatal"),
    ],
)
def test_an_ordinary_word_is_no_level(text, level):
    assert parse(text).level == level


@pytest.mark.parametrize(
    ("text", "request_", "status", "took_ms", "upstream_ms"),
    [
        (
            '{"message":"GET /v1/logs 200","method":"GET","route":"/v1/logs","status":200,"duration_ms":12.5,"upstream_ms":11}',
            "GET /v1/logs",
            200,
            12.5,
            11.0,
        ),
        # nginx writes seconds, and one number for each server that it tried.
        (
            '{"request_method":"GET","request_uri":"/v1/logs?key=abc","status":"504","request_time":"1.500",'
            '"upstream_response_time":"1.000, 0.400"}',
            "GET /v1/logs",
            504,
            1500.0,
            1400.0,
        ),
        (
            '{"method":"GET","url":"/t/42/invoices","statusCode":200,"responseTime":3}',
            "GET /t/*/invoices",
            None,
            3.0,
            None,
        ),
        ("level=info method=POST path=/v1/logs status=200 duration=1.25s", "POST /v1/logs", 200, 1250.0, None),
        ("level=info method=POST path=/v1/logs status=200 duration=0ms", "POST /v1/logs", 200, 0.0, None),
        # A duration without a unit may be anything.
        ('{"method":"POST","path":"/v1/logs","status":200,"duration":17}', "POST /v1/logs", 200, None, None),
        (
            NGINX.format(method="GET", path="/v1/logs?a=1", tried="10.0.0.6:8080 612 1.201 502"),
            "GET /v1/logs",
            502,
            1204.0,
            1201.0,
        ),
        (
            NGINX.format(method="GET", path="/", tried="10.0.0.6:8080, 10.0.0.7:8080 0, 612 1.000, 0.200 504, 502"),
            "GET /",
            502,
            1204.0,
            1200.0,
        ),
        (NGINX.format(method="GET", path="/", tried="- - - -"), "GET /", 502, 1204.0, None),
        (
            '10.1.2.3 - ann [25/Nov/2026:02:14:09 +0000] "GET /v1/logs HTTP/1.1" 200 90210 "-" "curl/8"',
            "GET /v1/logs",
            200,
            None,
            None,
        ),
        (
            '{"path":"/users/ann@example.com/0a1b2c3d-0000-4000-8000-000000000000/x","status":200,"took_ms":1}',
            "/users/*/*/x",
            200,
            1.0,
            None,
        ),
    ],
)
def test_requests(text, request_, status, took_ms, upstream_ms):
    assert parse(text).request == (request_, status, took_ms, upstream_ms)


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/logs 200",
        '{"message":"usage flushed","duration_ms":12}',
        '{"path":"/etc/neurallog/settings.json","message":"read"}',
        '{"path":"/v1/logs","status":1e300}',
        '{"path":"/v1/logs","status":true,"duration_ms":false}',
        "{}",
    ],
)
def test_what_is_no_request(text):
    assert parse(text).request == NO_REQUEST


@pytest.mark.parametrize("filler", ["a ", "a, ", '\\"', "1, ", "[] "])
def test_a_hostile_line_is_read_in_no_time(filler):
    began = time.process_time()
    parse('x - - [t] "GET / HTTP/1.1" 200 1 "-" "-" 73 1.0 [a] [] ' + filler * 500_000)
    assert time.process_time() - began < 2
