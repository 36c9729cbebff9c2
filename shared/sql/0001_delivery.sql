-- The tables of delivery, the same in every service's schema.

-- One row per message that a consumer has taken; a second delivery finds it and does nothing.
CREATE TABLE inbox (
    consumer    text        NOT NULL,
    id          uuid        NOT NULL,
    sha256      bytea       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, id)
);

-- How far each consumer has come, in the same transaction as what it did; Kafka's own offsets only follow.
CREATE TABLE positions (
    consumer  text   NOT NULL,
    topic     text   NOT NULL,
    partition int    NOT NULL,
    next      bigint NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
);

-- The last version of a subject that a consumer saw on a stream; it only grows.
CREATE TABLE sequences (
    consumer text   NOT NULL,
    topic    text   NOT NULL,
    subject  text   NOT NULL,
    last     bigint NOT NULL,
    PRIMARY KEY (consumer, topic, subject)
);

-- Messages that failed or wait, and every later one of their key, in order.
CREATE TABLE parked (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer     text        NOT NULL,
    key          bytea       NOT NULL,
    inbox_id     uuid        NOT NULL,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    "offset"     bigint      NOT NULL,
    timestamp_ms bigint      NOT NULL,
    message_key  bytea,
    headers      bytea       NOT NULL,
    body         bytea,
    state        text        NOT NULL CHECK (state IN ('waiting', 'failed', 'stuck')),
    reason       text        NOT NULL,
    attempts     int         NOT NULL DEFAULT 0,
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    give_up_at   timestamptz,
    CONSTRAINT parked_once_per_message UNIQUE (consumer, inbox_id)
);
CREATE INDEX parked_in_order ON parked (consumer, key, id);

-- Messages decided but not yet sent: a row is still here, or it was sent.
CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL,
    topic      text        NOT NULL,
    key        bytea       NOT NULL,
    headers    bytea       NOT NULL,
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_by_topic ON outbox (topic, id);

-- The version of each subject on each stream, and the head of its log's hash chain.
CREATE TABLE subjects (
    stream  text   NOT NULL,
    subject text   NOT NULL,
    version bigint NOT NULL,
    chain   bytea  NOT NULL,
    PRIMARY KEY (stream, subject)
);

-- Every fact this service has said, each chained to the one before it on its stream and subject.
CREATE TABLE log (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream      text        NOT NULL,
    subject     text        NOT NULL,
    sequence    bigint      NOT NULL,
    event_id    uuid        NOT NULL,
    type        text        NOT NULL,
    cause_id    uuid        NOT NULL,
    actor_id    uuid,
    decided_at  timestamptz NOT NULL,
    body_sha256 bytea       NOT NULL,
    chain       bytea       NOT NULL,
    CONSTRAINT log_once_per_event UNIQUE (event_id),
    CONSTRAINT log_once_per_version UNIQUE (stream, subject, sequence)
);

CREATE INDEX log_by_cause ON log (cause_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER log_is_insert_only BEFORE UPDATE OR DELETE ON log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER log_is_never_emptied BEFORE TRUNCATE ON log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- After a restore: what this service finds that it has already said, but no longer knows.
CREATE TABLE adopted (
    event_id    uuid        PRIMARY KEY,
    decision_id uuid        NOT NULL,
    type        text        NOT NULL,
    stream      text        NOT NULL,
    subject     text        NOT NULL,
    sequence    bigint      NOT NULL,
    decided_at  timestamptz NOT NULL,
    body        bytea       NOT NULL,
    adopted_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far Kafka's and Postgres's clocks disagree at least, as the relay last saw; one row.
CREATE TABLE clock_skew (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    skew        interval    NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE timers (
    kind    text        NOT NULL,
    subject text        NOT NULL,
    due_at  timestamptz NOT NULL,
    try_at  timestamptz NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX timers_by_try ON timers (try_at);
