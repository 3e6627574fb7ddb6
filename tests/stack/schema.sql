-- The platform's database as the tests know it: small, in good order (every foreign key indexed, every table analysed).

CREATE EXTENSION pg_stat_statements;
-- PostgreSQL 13 and 14 let everyone create tables here.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO app;
SET ROLE app;

CREATE TABLE tenants (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    plan        text NOT NULL CHECK (plan IN ('free', 'team', 'enterprise')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   bigint NOT NULL REFERENCES tenants,
    email       text NOT NULL UNIQUE,
    role        text NOT NULL DEFAULT 'member',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_by_tenant ON users (tenant_id);

CREATE TABLE api_keys (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants,
    key_hash      text NOT NULL UNIQUE,
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);

CREATE TABLE log_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    bigint NOT NULL REFERENCES tenants,
    level        text NOT NULL,
    service      text NOT NULL,
    message      text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX log_entries_by_tenant_and_time ON log_entries (tenant_id, recorded_at);

CREATE TABLE usage_records (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    bigint NOT NULL REFERENCES tenants,
    metric_type  text NOT NULL,
    value        numeric NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_records_by_tenant_and_time ON usage_records (tenant_id, recorded_at);

CREATE TABLE invoices (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants,
    period_start  date NOT NULL,
    amount_cents  bigint NOT NULL,
    status        text NOT NULL DEFAULT 'open',
    UNIQUE (tenant_id, period_start)
);

CREATE TABLE payments (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants,
    invoice_id    bigint REFERENCES invoices,
    amount_cents  bigint NOT NULL,
    currency      text NOT NULL DEFAULT 'EUR',
    status        text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    error_code    text,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_by_tenant_and_time ON payments (tenant_id, created_at);
CREATE INDEX payments_by_invoice ON payments (invoice_id);
CREATE INDEX payments_failed_by_time ON payments (created_at) WHERE status = 'failed';

INSERT INTO tenants (name, plan)
SELECT 'tenant-' || n, (ARRAY['free', 'team', 'enterprise'])[1 + n % 3] FROM generate_series(1, 20) n;

INSERT INTO users (tenant_id, email)
SELECT 1 + n % 20, 'user' || n || '@tenant-' || 1 + n % 20 || '.example' FROM generate_series(1, 200) n;

INSERT INTO api_keys (tenant_id, key_hash) SELECT 1 + n % 20, md5('key' || n) FROM generate_series(1, 60) n;

INSERT INTO log_entries (tenant_id, level, service, message, recorded_at)
SELECT 1 + n % 20, (ARRAY['debug', 'info', 'info', 'warn', 'error'])[1 + n % 5],
       (ARRAY['api-gateway', 'log-processor', 'billing-service'])[1 + n % 3],
       'request ' || n || ' handled in ' || n % 97 || ' ms', now() - n * interval '3 s'
FROM generate_series(1, 20000) n;

INSERT INTO usage_records (tenant_id, metric_type, value, recorded_at)
SELECT 1 + n % 20, (ARRAY['logs_ingested', 'bytes_stored', 'searches'])[1 + n % 3], n % 1000, now() - n * interval '15 s'
FROM generate_series(1, 15000) n;

INSERT INTO invoices (tenant_id, period_start, amount_cents)
SELECT 1 + n % 20, date '2026-01-01' + (n / 20) * 30, 4900 + n FROM generate_series(0, 199) n;

INSERT INTO payments (tenant_id, invoice_id, amount_cents, status, error_code, created_at)
SELECT 1 + n % 20, 1 + n % 200, 4900 + n % 100,
       CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
       CASE WHEN n % 50 = 0 THEN 'card_declined' END, now() - n * interval '40 s'
FROM generate_series(1, 12000) n;

RESET ROLE;
