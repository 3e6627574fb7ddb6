"""Secrets that live systems show are nowhere in what we write or say."""

import gzip
import json
import secrets
import shutil
import string
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from nl_forensics.inputs.parameters import home
from tests.investigation import Investigation
from tests.stack import pgbouncer, postgres, prometheus, redis


def some(length, alphabet=string.ascii_letters + string.digits):
    return "".join(secrets.choice(alphabet) for _ in range(length))


# Made at run time: not even a made-up secret is in this file. What stands in a place where only values stand needs no shape.
PLANTED = {
    "a literal of a running query": some(20),
    "a literal of a query that waits for a lock": some(20),
    "a password set by SQL": some(20),
    "a token in a table name": "ghp_" + some(36),
    "a value in a slow command": some(24),
    "a token in a key of Redis": "sk_live_" + some(24),
    "a token in the name of a client": "AKIA" + some(16, string.ascii_uppercase + string.digits),
    "the password of the replication in a setting": some(20),
    "a token in the name of an application": "xoxb-" + some(12, string.digits) + "-" + some(24),
    "a token in an error message": "glpat-" + some(20),
}
PASSWORDS = {  # of the addresses, which are environment variables
    "of PostgreSQL": some(20),
    "of PgBouncer": some(20),
    "of Redis": some(20),
    "of Prometheus": some(20),
    "of somebody else, in the environment": some(20),
}
ALL = PLANTED | PASSWORDS


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """{where: text} of everything that was written and said about systems full of secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    with ExitStack() as running:
        asked = Investigation(folder, _systems_full_of_secrets(running))
        surroundings = {"DB_PASSWORD": PASSWORDS["of somebody else, in the environment"]}
        told = {}
        for words in (
            ["collect", asked.file],
            ["findings", asked.file],
            ["findings", asked.case_folder, "--json"],
            ["doctor", asked.file],
            ["note", asked.case_folder, f"the password is password={PLANTED['a password set by SQL']}"],
            # The notebooks of these systems; the others have nothing to show of them.
            ["report", asked.case_folder, "--out", folder / "report", "--sections", "03,05,10", "--json"],
        ):
            done = asked.run(*words, environment=surroundings)
            assert "Traceback" not in done.stderr, done.stderr
            told |= {f"{words[0]} said": done.stdout, f"{words[0]} warned": done.stderr}
    shutil.copytree(home(), folder / "home")
    return told | {str(path.relative_to(folder)): _text(path) for path in _written(folder)}


def _written(folder):
    """Everything but what the test itself wrote."""
    ours = {folder / "incident.yaml", folder / "platform.yaml"}
    return [path for path in folder.rglob("*") if path.is_file() and path not in ours]


def _text(path: Path) -> str:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8", "replace")


def _systems_full_of_secrets(running):
    database = running.enter_context(postgres.start())
    pooler = running.enter_context(pgbouncer.start(database))
    cache = running.enter_context(redis.start(settings={"slowlog-log-slower-than": 0}))
    metrics = running.enter_context(prometheus.start())
    _plant_in_postgres(database, running)
    _plant_in_redis(cache, running)
    with_user = metrics.url.replace("http://", f"http://nl:{PASSWORDS['of Prometheus']}@")
    return {
        "postgres": {"main": database.dsn(), "gone": database.dsn(database=PLANTED["a token in an error message"])},
        "pgbouncer": {"main": pooler.dsn(password=PASSWORDS["of PgBouncer"])},
        "redis": {"main": cache.url(), "refused": cache.url(password=PASSWORDS["of Redis"])},
        "prometheus": {"main": with_user},
    }


def _plant_in_postgres(server, running):
    server.execute(f"ALTER ROLE app PASSWORD '{PLANTED['a password set by SQL']}'")
    server.execute(f"ALTER ROLE nl_forensics PASSWORD '{PASSWORDS['of PostgreSQL']}'")
    postgres_passwords = {"app": PLANTED["a password set by SQL"], "nl_forensics": PASSWORDS["of PostgreSQL"]}
    server.dsn = lambda user="nl_forensics", database=postgres.DATABASE, password=None, **parameters: (
        postgres.Postgres.dsn(server, user, database, password or postgres_passwords.get(user), **parameters)
    )
    conninfo = f"host=primary user=replicator password={PLANTED['the password of the replication in a setting']}"
    server.execute(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
    server.execute("SELECT pg_reload_conf()")
    server.execute(f'CREATE TABLE "{PLANTED["a token in a table name"]}" (id int)')
    name = PLANTED["a token in the name of an application"]
    holder = running.enter_context(server.connect(application_name=name))
    holder.execute("BEGIN")
    holder.execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
    sleeping, waiting = (psycopg.connect(server.dsn("postgres")) for _ in range(2))
    for session, query in (
        (sleeping, f"SELECT pg_sleep(60), '{PLANTED['a literal of a running query']}'"),
        (waiting, f"SELECT '{PLANTED['a literal of a query that waits for a lock']}' FROM payments"),
    ):
        session.pgconn.send_query(query.encode())
        running.callback(session.close)


def _plant_in_redis(server, running):
    admin = running.enter_context(redis_client.Redis.from_url(server.url("default")))
    admin.set("session:" + PLANTED["a token in a key of Redis"], PLANTED["a value in a slow command"])
    admin.client_setname(PLANTED["a token in the name of a client"])
    admin.hset("usage:1", mapping={"password": PLANTED["a value in a slow command"]})


def test_the_secrets_were_there_to_be_seen(said):
    """What was recorded comes from the servers in which they were planted."""
    custody = [json.loads(line) for line in said["case/1/custody.jsonl"].splitlines()]
    removed = {kind for event in custody for kind in event.get("redacted", {})}
    assert {"secret:github_token", "secret:aws_key", "secret:slack_token"} <= removed
    assert any("pg_sleep" in text for name, text in said.items() if "pg_activity" in name)
    assert any("<SECRET:" in text for name, text in said.items() if name.startswith("case/1/data"))
    assert len(said) > 60


@pytest.mark.parametrize("what", ALL)
def test_a_planted_secret_is_nowhere(said, what):
    """Also no half of it."""
    half = ALL[what][-10:]
    assert [where for where, text in said.items() if half in text] == []


def test_what_one_acts_on_stays_clear(said):
    everything = "".join(said.values())
    assert "payments" in everything
    assert "nl_forensics" in everything
    assert "127.0.0.1" in everything
