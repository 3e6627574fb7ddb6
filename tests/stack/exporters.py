"""The Prometheus exporters of PostgreSQL and Redis."""

from pathlib import Path

from tests.stack.process import HOST, Process, free_port, new_folder, program

QUERIES = Path(__file__).with_name("exporter_queries.yaml")


def start_postgres_exporter(of):
    """Export a PostgreSQL server's counters, signed in as the role `exporter`."""
    port = free_port()
    command = [
        program("prometheus-postgres-exporter"),
        f"--web.listen-address={HOST}:{port}",
        f"--extend.query-path={QUERIES}",
        "--log.level=warn",
    ]
    environment = {"DATA_SOURCE_NAME": of.dsn("exporter", "postgres", sslmode="disable")}
    return Process(command=command, folder=new_folder("postgres-exporter"), port=port, environment=environment).start()


def start_redis_exporter(of):
    """Export a Redis server's counters and the length of the log queue."""
    port = free_port()
    command = [
        program("prometheus-redis-exporter"),
        f"-web.listen-address={HOST}:{port}",
        "-check-single-keys=log_queue",
    ]
    environment = {"REDIS_ADDR": of.url("default")}
    return Process(command=command, folder=new_folder("redis-exporter"), port=port, environment=environment).start()
