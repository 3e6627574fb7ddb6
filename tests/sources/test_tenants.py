"""What databases and Redis really let the identity of a tenant read, and that no secret of a tenant is recorded."""

import json
from contextlib import closing

import pytest

from nl_forensics.errors import NotAllowed, NotServed
from nl_forensics.inputs.tenants import finder
from nl_forensics.sources.kubernetes.kinds import keeping
from nl_forensics.sources.kubernetes.tenants import _named, _step, _tenant, _There, _waiting
from tests import asking
from tests.stack import postgres, redis

NAMES = asking.platform().tenants
SECRETS = ("sk_live_51H8xKqT2mPv9", "hunter2-hunter2", "jane@customer.example", "4242424242424242")


@pytest.fixture(scope="module")
def database():
    with postgres.start() as server:
        server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nl_forensics")
        for role in ("tenant_acme", "tenant_globex", "reporting"):
            server.execute(f"CREATE ROLE {role}")
        yield server


def ask(server, name, **changes):
    with closing(asking.link("postgres", server.dsn())) as link:
        return asking.ask(link, name, platform_=asking.platform(**changes))


def readers(server):
    return ask(server, "pg_tenant_tables").table.set_index("table").readers.to_dict()


def test_tenants_are_read_from_their_table(database):
    heard = ask(database, "pg_tenants")
    assert len(heard.table) == 20
    assert {"id": "1", "tenant": "tenant-1", "plan": "team"}.items() <= heard.table.iloc[0].to_dict().items()
    assert heard.unseen == []


def test_a_database_without_the_table_has_no_tenants_and_says_so(database):
    tenants = NAMES.model_dump() | {"table": {"name": "customers"}}
    heard = ask(database, "pg_tenants", tenants=tenants)
    assert heard.table.empty
    assert "has no table customers" in heard.proof


@pytest.mark.parametrize(
    ("change", "undo", "number"),
    [
        ("GRANT SELECT ON payments TO tenant_acme", "REVOKE SELECT ON payments FROM tenant_acme", 1),
        ("GRANT SELECT ON payments TO PUBLIC", "REVOKE SELECT ON payments FROM PUBLIC", 2),
        ("GRANT SELECT ON payments TO reporting", "REVOKE SELECT ON payments FROM reporting", 0),
        ("ALTER ROLE tenant_globex SUPERUSER", "ALTER ROLE tenant_globex NOSUPERUSER", 1),
    ],
)
def test_without_row_security_a_grant_opens_all_rows(database, change, undo, number):
    database.execute(change)
    try:
        assert readers(database)["payments"] == number
    finally:
        database.execute(undo)


def test_row_security_closes_a_table_unless_it_does_not_bind_a_role(database):
    database.execute("GRANT SELECT ON users TO tenant_acme, tenant_globex")
    assert readers(database)["users"] == 2
    database.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    assert readers(database)["users"] == 0
    database.execute("ALTER ROLE tenant_acme BYPASSRLS")
    assert readers(database)["users"] == 1
    database.execute("ALTER ROLE tenant_acme NOBYPASSRLS")
    database.execute("GRANT app TO tenant_acme")  # the owner
    assert readers(database)["users"] == 1
    database.execute("ALTER TABLE users FORCE ROW LEVEL SECURITY")
    assert readers(database)["users"] == 0
    database.execute("CREATE POLICY own ON users USING (tenant_id = 1)")
    assert readers(database)["users"] == 0
    database.execute("CREATE POLICY everybody ON users USING (true)")
    found = ask(database, "pg_tenant_tables").table.set_index("table").loc["users"]
    assert (found.readers, found.policies, found.policy_is_open) == (2, 2, True)
    database.execute("REVOKE app FROM tenant_acme")


def test_rows_of_deleted_tenants_are_counted_by_tenant_or_not_at_all(database):
    database.execute("CREATE TABLE exports (tenant_id bigint, path text)")
    database.execute("GRANT SELECT ON exports TO nl_forensics")
    database.execute("INSERT INTO exports SELECT 90 + n % 7, 'x' FROM generate_series(1, 1000) n")
    heard = ask(database, "pg_tenant_tables")
    assert heard.table.set_index("table").orphans.isna().to_dict()["exports"]
    assert any("no index begins with tenant_id" in gap for gap in heard.unseen)
    database.execute("CREATE INDEX exports_by_tenant ON exports (tenant_id)")
    found = ask(database, "pg_tenant_tables").table.set_index("table").loc["exports"]
    assert (found.orphans, found.orphan) == (7, "90")
    database.execute("REVOKE SELECT ON exports FROM nl_forensics")
    heard = ask(database, "pg_tenant_tables")
    assert heard.table.set_index("table").orphans.isna().to_dict()["exports"]
    assert any("exports" in gap for gap in heard.unseen)


def test_a_name_that_needs_quotes_is_quoted(database):
    database.execute('CREATE TABLE "Odd ""name""; --" (tenant_id bigint)')
    database.execute('CREATE INDEX ON "Odd ""name""; --" (tenant_id)')
    database.execute('GRANT SELECT ON "Odd ""name""; --" TO nl_forensics')
    assert ask(database, "pg_tenant_tables").table.set_index("table").orphans['Odd "name"; --'] == 0


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache():
    with redis.start() as server, server.connect() as connection:
        yield server, connection


@pytest.mark.parametrize(
    ("rules", "reaches"),
    [
        (("~usage:1:*", "+@read"), ""),
        (("~usage:*", "+@read"), "usage:{tenant_id}:*"),
        (("~*", "+@all"), "usage:{tenant_id}:*"),
        (("~*", "+ping"), ""),
        (("~usage:*", "+hgetall"), "usage:{tenant_id}:*"),
        (("%W~usage:*", "+@all"), ""),
        (("~usage:1:*", "(~usage:* +get)"), "usage:{tenant_id}:*"),
    ],
)
def test_redis_itself_says_what_a_user_may_read(cache, rules, reaches):
    server, connection = cache
    connection.execute_command("ACL", "SETUSER", "tenant-acme", "reset", "on", ">hunter2-hunter2", *rules)
    with closing(asking.link("redis", server.url())) as link:
        heard = asking.ask(link, "redis_tenant_users")
    assert heard.table[["user", "tenant", "reaches"]].to_numpy().tolist() == [["tenant-acme", "acme", reaches]]
    assert "hunter2" not in heard.text


def test_an_older_redis_does_not_answer_and_is_not_taken_for_safe():
    with redis.start(version="6.2") as server, server.connect() as connection:
        connection.execute_command("ACL", "SETUSER", "tenant-acme", "on", "nopass", "~*", "+@all")
        with closing(asking.link("redis", server.url())) as link, pytest.raises((NotServed, NotAllowed)):
            asking.ask(link, "redis_tenant_users")


def test_keys_are_counted_by_tenant(cache):
    server, connection = cache
    connection.mset(
        {"usage:7:2026112501": "1", "usage:7:2026112502": "1", "usage:8:1": "1", "usage:9": "1", "other:7:1": "1"}
    )
    with closing(asking.link("redis", server.url())) as link:
        rows = asking.ask(link, "redis_tenant_keys").table
    assert rows.set_index("tenant")["keys"].to_dict() == {"7": 2, "8": 1}


@pytest.mark.parametrize(
    ("pattern", "key", "tenant"),
    [
        ("usage:{tenant_id}:*", "usage:7:x", "7"),
        ("usage:{tenant_id}:*", "usage:7:a:b", "7"),
        ("usage:{tenant_id}:*", "usage:7", None),
        ("{tenant}/*", "acme/x", "acme"),
        ("a.b:{tenant}", "aXb:acme", None),
    ],
)
def test_a_pattern_finds_its_tenant(pattern, key, tenant):
    found = finder(pattern).fullmatch(key)
    assert (found and found["tenant"]) == tenant


# --- The operator's objects -------------------------------------------------------------------------------------------


def tenant(**spec):
    metadata = {
        "name": "acme",
        "uid": "1",
        "creationTimestamp": "2026-11-03T14:00:00Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRETS[0]},
        "managedFields": [{"manager": SECRETS[1]}],
    }
    return {
        "metadata": metadata,
        "spec": {"id": 1, "plan": "team", **spec},
        "status": {"phase": "Ready", "token": SECRETS[1]},
    }


def test_of_a_spec_only_what_is_declared_is_kept():
    secret = {"apiKey": SECRETS[0], "database": {"password": SECRETS[1]}, "contact": SECRETS[2], "card": SECRETS[3]}
    kept = keeping(("id", "plan", "suspended"))(tenant(**secret, suspended=True))
    assert not any(word in json.dumps(kept) for word in SECRETS)
    row = _tenant(kept, NAMES)
    assert (row["id"], row["plan"], row["suspended"], row["share_ratio"]) == ("1", "team", True, 0.5)


def there(name, one):
    return _There({("tenant-acme", name): one}, {"tenant-acme": one}, whole=True)


def deployment(available=0, wanted=1, since="14:00:00", status="False"):
    condition = {"type": "Available", "status": status, "lastTransitionTime": f"2026-11-03T{since}Z"}
    metadata = {"name": "log-server", "namespace": "tenant-acme", "creationTimestamp": "2026-11-03T14:00:00Z"}
    return {
        "metadata": metadata,
        "spec": {"replicas": wanted},
        "status": {"availableReplicas": available, "conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("one", "done", "was_done"),
    [
        (deployment(1, status="True", since="14:00:07"), True, True),
        (deployment(), False, False),
        (deployment(since="14:20:00"), False, True),
        (deployment(0, wanted=0, status="True"), True, True),
    ],
)
def test_a_workload_that_was_available_is_no_unfinished_step(one, done, was_done):
    step = next(step for step in NAMES.steps if step.kind == "deployments")
    row = _step(step, tenant(), NAMES, there("log-server", one), {})
    assert (row["done"], row["was_done"]) == (done, was_done)


def test_what_could_not_be_listed_is_not_missing():
    step = next(step for step in NAMES.steps if step.kind == "resourcequotas")
    row = _step(step, tenant(), NAMES, _There({}, {}, whole=False), {})
    assert (row["done"], row["exists"]) == (None, None)


def test_a_container_that_waits_is_the_reason_of_its_workload():
    status = {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}
    owner = {"kind": "ReplicaSet", "name": "log-server-abc", "controller": True}
    metadata = {
        "namespace": "tenant-acme",
        "name": "p",
        "labels": {"pod-template-hash": "abc"},
        "ownerReferences": [owner],
    }
    assert _waiting([{"metadata": metadata, "status": status}]) == {
        ("tenant-acme", "log-server"): "ErrImagePull: not found"
    }


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ('{"level":"error","name":"acme","msg":"Reconciler error"}', "acme"),
        ("tenant=acme can't be reconciled", "acme"),
        ("tenant=acme-eu can't be reconciled", "acme-eu"),
        ("nothing about a tenant", ""),
    ],
)
def test_a_line_of_the_operator_names_its_tenant_in_any_field(line, who):
    assert _named(line, {"acme", "acme-eu", "globex"}) == who
