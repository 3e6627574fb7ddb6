"""Redaction comes first: nothing is cut, starred, hashed or taken apart before its secrets are gone."""

import ast
import gzip
import hashlib
import hmac
import json
from pathlib import Path

import pytest

import nl_forensics
from nl_forensics import sources
from nl_forensics.evidence.custody import Chain
from nl_forensics.evidence.rounds import Recording
from nl_forensics.redact import Redactor, excerpt
from nl_forensics.sources import Partial
from nl_forensics.sources.digest import digest
from nl_forensics.sources.grafana import metrics_in
from nl_forensics.sources.kubernetes.lines import decoded
from nl_forensics.sources.redis.names import command_and_pattern
from tests import asking
from tests.recorded import SPECIMENS
from tests.redact.test_redact import ALNUM, ANYWHERE, KEY, SHAPED, chars, seeded

WINDOW = 8  # characters of a secret that must not survive together


def survives(secret: str, text: str) -> bool:
    return any(secret[at : at + WINDOW] in text for at in range(len(secret) - WINDOW + 1))


def in_context(template: str, secret: str) -> str:
    return template.replace("{}", secret).replace("{{", "{").replace("}}", "}")


def as_recorded(name: str, record: dict) -> dict:
    return sources.load()[name].recorded(record, Redactor(KEY).stream())


# --- Every source -----------------------------------------------------------------------------------------------------


def fetched() -> dict[str, dict]:
    """A record of every source, as its fetch yields it: recorded ones, and for a source that derives, what it derives from."""
    found = {}
    for path in SPECIMENS.glob("*.json"):
        for one in json.loads(path.read_text()).values():
            found |= {name: answer["records"][0] for name, answer in one["answers"].items() if answer["records"]}
    for name, source in sources.load().items():
        columns = {column: "x" for column, spec in source.columns.items() if spec.dtype == "str"}
        found.setdefault(name, columns)
        if source.derive is not dict:
            found[name] = {"pod": "api-0", "logged": decoded("x")}
    return found


def planted(record, text: str):
    """The record with this text as each of its texts."""
    if isinstance(record, dict):
        return {key: planted(value, text) for key, value in record.items()}
    if isinstance(record, list):
        return [planted(value, text) for value in record]
    return text if isinstance(record, str) else record


FETCHED = fetched()
SAMPLES = (
    "stripe secret key",
    "slack bot token",
    "aws key id",
    "jwt",
    "gitlab token",
    "scram verifier",
    "visa with dashes",
)


def test_a_secret_in_any_text_of_any_source_is_gone_from_every_column():
    for name in sources.load():
        for kind in seeded(name).sample(SAMPLES, 2):
            secret = SHAPED[kind](seeded(name, kind))
            kept = as_recorded(name, planted(FETCHED[name], f"call failed with {secret}: 401"))
            assert not survives(secret, json.dumps(kept)), name


@pytest.mark.parametrize("kind", SHAPED)
def test_no_column_of_a_log_line_keeps_a_part_of_a_secret(kind):
    """As JSON, logfmt and text; templates have stars where a token has its digits."""
    for context, template in seeded(kind).sample(sorted(ANYWHERE.items()), 12):
        secret = SHAPED[kind](seeded("line", kind, context))
        text = in_context(template, secret)
        for line in (text, json.dumps({"level": "info", "msg": text, "url": f"/v1/{secret}/x", "status": 200})):
            kept = as_recorded("k8s_logs", {"logged": decoded(line)})
            assert not survives(secret, json.dumps(kept)), (line, kept)


def test_a_cut_goes_through_no_secret():
    for at in range(1_960, 2_001):
        secret = "ghp" + "_" + chars(ALNUM, 36)(seeded(str(at)))
        line = "x" * (at - 1) + " " + secret + " tail" * 30
        assert not survives(secret, as_recorded("k8s_logs", {"logged": decoded(line)})["message"])
    for at in range(250, 301):
        secret = "ghp" + "_" + chars(ALNUM, 36)(seeded(str(at)))
        assert not survives(secret, excerpt("x" * (at - 1) + f" {secret} joe@example.com"))


def test_a_token_in_a_statement_a_key_or_a_dashboard_is_not_taken_apart():
    token = "xo" + "xb-123456789012-1234567890123-" + chars(ALNUM, 24)(seeded("slack"))
    statement = as_recorded("pg_activity", {"query": f"SELECT {token} FROM t"})["query"]
    assert not survives(token, statement)
    assert not survives(token, " ".join(metrics_in(f"rate({token}[5m])")))
    shown = command_and_pattern(["GET", f"AbCdEfGh/IjKlMnOp:{token}"], asking.platform().redis)
    assert not survives(token, shown)


LISTS = {  # functions that take the beginning of something else than a text
    *("_shown", "databases", "identity_token", "_audience", "message"),
    *("parsed", "_lines"),  # where a level stands, a time
}


@pytest.mark.parametrize("room", ["sources", "connect", "collection"])
def test_texts_are_cut_by_shortened_and_excerpt_alone(room):
    """`shortened` is for redacted text, and `excerpt` masks first."""
    found = set()
    for path in Path(nl_forensics.__file__).with_name(room).rglob("*.py"):
        functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
        found |= {each.name for each in functions if has_cut(each)}
    assert found <= LISTS


def has_cut(function: ast.AST) -> bool:
    """Whether it takes the beginning of something that it does not loop over."""
    nodes = list(ast.walk(function))
    looped = {id(node.iter) for node in nodes if isinstance(node, ast.For | ast.comprehension)}
    return any(is_cut(node) for node in nodes if id(node) not in looped)


def is_cut(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Slice):
        return False
    most = node.slice.upper
    named = isinstance(most, ast.Name) and most.id.isupper()
    return named or (isinstance(most, ast.Constant) and isinstance(most.value, int) and most.value > 3)


# --- Across records ---------------------------------------------------------------------------------------------------


def stream(lines) -> list[str]:
    redact = Redactor(KEY).stream()
    place = {"namespace": "payments", "pod": "Api0", "format": "plain"}
    return [redact(place | {"logged": {"format": "plain", "text": line}})["logged"]["text"] for line in lines]


@pytest.mark.parametrize("prefix", ["", "app | ", "2026-11-23T21:00:00Z stdout F "])
@pytest.mark.parametrize("width", [64, 70, 76])
@pytest.mark.parametrize("kind", ["OPENSSH ", "RSA ", "EC ", "ENCRYPTED ", ""])
def test_a_key_that_is_logged_line_by_line(kind, width, prefix):
    rng = seeded("key", kind, str(width), prefix)
    body = chars(ALNUM + "+/", 4 * width)(rng)
    tail = chars(ALNUM + "+/", 22)(rng) + "=="
    parts = [*(body[at : at + width] for at in range(0, len(body), width)), tail]
    lines = [f"-----BEGIN {kind}PRIVATE KEY-----", *parts, f"-----END {kind}PRIVATE KEY-----", "server started"]
    kept = stream(["start", *(prefix + line for line in lines)])
    assert not any(survives(part, line) for part in parts for line in kept)
    assert kept[-1] == prefix + "server started"


def test_other_lines_between_those_of_a_key_stay():
    key = chars(ALNUM + "+/", 70)(seeded("between"))
    lines = [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "GET /healthz 200",
        key,
        "sha256:" + "0a" * 32,
        "-----END OPENSSH PRIVATE KEY-----",
    ]
    kept = stream(lines)
    assert kept[1] == lines[1]
    assert kept[3] == lines[3]
    assert not survives(key, kept[2])


@pytest.mark.parametrize(
    "lines",
    [
        ["machine db.internal", "  login app", "  password {}", "next"],
        ["password: |", "  {}", "port: 1"],
        ["kind: Secret", "metadata:", "  name: x", "stringData:", "  pg-main: {}", "type: Opaque"],
        ["users:", "- name: me", "  user:", "    client-key-data: {}"],
        ["PuTTY-User-Key-File-3: ssh-ed25519", "Private-Lines: 1", "{}", "Private-MAC: 0a0a0a0a"],
        ["-----BEGIN PGP PRIVATE KEY BLOCK-----", "", "{}", "-----END PGP PRIVATE KEY BLOCK-----"],
    ],
)
def test_blocks_that_are_logged_line_by_line(lines):
    secret = "qZ" + chars(ALNUM, 40)(seeded(*lines))
    kept = stream([line.replace("{}", secret) for line in lines])
    assert not any(survives(secret, line) for line in kept)


def test_what_was_begun_in_one_answer_is_not_continued_in_another():
    redactor, line = Redactor(KEY), "QmFzZTY0" * 6
    redactor.stream()({"text": "-----BEGIN RSA PRIVATE KEY-----"})
    assert redactor.stream()({"text": line}) == {"text": line}


# --- Digests ----------------------------------------------------------------------------------------------------------


def test_a_digest_is_equal_for_equal_values_and_no_hash_of_them():
    value = [{"name": "DB_PASSWORD", "value": "Summer2026!"}]
    assert digest(value) == digest(json.loads(json.dumps(value)))
    assert digest(value) != digest([{"name": "DB_PASSWORD", "value": "Summer2025!"}])
    text = json.dumps(value, sort_keys=True).encode()
    plain = hashlib.sha256(text).hexdigest() + hmac.digest(b"", text, "sha256").hex()
    assert digest(value) not in plain


def test_sources_make_no_digest_without_the_key():
    """Neither here, nor by a server whose hash is recorded as it comes."""
    for path in Path(sources.__file__).parent.rglob("*.py"):
        assert "hashlib" not in path.read_text(), path
        assert "left(md5" not in path.read_text(), path


# --- Where records enter a case ---------------------------------------------------------------------------------------


def test_a_case_holds_what_was_derived_from_redacted_records(tmp_path):
    secret = "gh" + "p_" + chars(ALNUM, 36)(seeded("case"))
    key = chars(ALNUM + "+/", 70)(seeded("case", "key"))
    recording = Recording(
        Chain(tmp_path), tmp_path, Redactor(KEY), "k8s_logs", "main", tmp_path / "data" / "main.ndjson.gz"
    )
    for line in (f"call failed with {secret}", "-----BEGIN OPENSSH PRIVATE KEY-----", key):
        recording.write([{"pod": "api-0", "logged": decoded(line)}])
    recording.write([Partial("x" * 590 + f" {secret} was refused")])
    recording.recover([{"pod": "api-0", "template": "derived before"}])
    recording.close("2026-11-23T21:34:00Z", "BadAnswer", f"{'x' * 590} {secret}")
    written = gzip.decompress((tmp_path / "data" / "main.ndjson.gz").read_bytes()).decode()
    records = [json.loads(line) for line in written.splitlines()]
    assert records[0]["template"] == "call failed with <SECRET:github_token>"
    assert records[3] == {"pod": "api-0", "template": "derived before"}
    for text in (written, (tmp_path / "custody.jsonl").read_text()):
        assert not survives(secret, text)
        assert not survives(key, text)
