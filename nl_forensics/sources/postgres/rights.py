"""What our role may see: a view that hides rows from it is as empty as a healthy one."""

from collections.abc import Iterator

from nl_forensics.sources import Partial

GRANT_MONITOR = "GRANT pg_monitor TO the role"


def sees_statistics(postgres) -> bool:
    """Whether the sessions, replicas and progress of other roles are shown to us."""
    return next(postgres.rows("SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS may"))["may"]


def may_run(postgres, function: str) -> bool:
    """Whether we may call a function, named with its argument types: `pg_ls_waldir()`."""
    return next(postgres.rows("SELECT has_function_privilege(%s, 'EXECUTE') AS may", [function]))["may"]


def of_the_primary_alone(postgres, unseen: str) -> Iterator[Partial]:
    """The gap on a standby, which doesn't know what its primary counts or holds. Nothing on a primary."""
    if next(postgres.rows("SELECT pg_is_in_recovery() AS is_standby"))["is_standby"]:
        yield Partial(unseen, "add its primary to the platform file")


def without_monitor(unseen: str) -> Partial:
    """The gap of a role that lacks pg_monitor."""
    return Partial(unseen, GRANT_MONITOR)
