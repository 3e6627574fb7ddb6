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
    currency    text NOT NULL DEFAULT 'EUR',
    stripe_customer text UNIQUE,
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
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    idempotency_key text
);
CREATE INDEX usage_records_by_tenant_and_time ON usage_records (tenant_id, recorded_at);
CREATE INDEX usage_records_by_time ON usage_records (recorded_at);

CREATE TABLE invoices (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     bigint NOT NULL REFERENCES tenants,
    period_start  date NOT NULL,
    period_end    date NOT NULL,
    amount_cents  bigint NOT NULL,
    currency      text NOT NULL DEFAULT 'EUR',
    status        text NOT NULL DEFAULT 'open',
    stripe_id     text,
    UNIQUE (tenant_id, period_start)
);

CREATE TABLE invoice_lines (
    invoice_id    bigint NOT NULL REFERENCES invoices,
    metric_type   text NOT NULL,
    quantity      numeric NOT NULL,
    amount_cents  bigint NOT NULL,
    PRIMARY KEY (invoice_id, metric_type)
);

CREATE TABLE webhook_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      text NOT NULL,
    type          text NOT NULL,
    object_id     text,
    created_at    timestamptz NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    processed_at  timestamptz,
    signature_verified boolean NOT NULL
);
CREATE INDEX webhook_events_by_time ON webhook_events (received_at);

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

INSERT INTO tenants (name, plan, currency, stripe_customer)
SELECT 'tenant-' || n, (ARRAY['free', 'team', 'enterprise'])[1 + n % 3], (ARRAY['EUR', 'USD', 'JPY'])[1 + n % 7 % 3],
       'cus_Test' || lpad(n::text, 8, '0') FROM generate_series(1, 20) n;

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

INSERT INTO invoices (tenant_id, period_start, period_end, amount_cents, status)
SELECT 1 + n % 20, date '2025-01-01' + (n / 20) * 30, date '2025-01-31' + (n / 20) * 30, 4900 + n, 'paid'
FROM generate_series(0, 199) n;

INSERT INTO payments (tenant_id, invoice_id, amount_cents, status, error_code, created_at)
SELECT 1 + n % 20, 1 + n % 200, 4900 + n % 100,
       CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
       CASE WHEN n % 50 = 0 THEN 'card_declined' END, now() - n * interval '40 s'
FROM generate_series(1, 12000) n;

RESET ROLE;
