CREATE TABLE IF NOT EXISTS {database}.tickets
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    ticket_id UUID COMMENT 'Derived from whom it is about and the event that opened it.',
    seq Int32 COMMENT 'Version of the ticket; 1, 2, ... The newest holds.',
    model LowCardinality(String) COMMENT 'Model that decided: fraud.',
    subject String COMMENT 'Whom it is about.',
    state LowCardinality(String) COMMENT 'open, in_progress or closed.',
    resolution Nullable(String) COMMENT 'confirmed, rejected or duplicate; NULL until it is closed.',
    severity LowCardinality(String) COMMENT 'The worst risk level of its events: LOW, MEDIUM, HIGH or CRITICAL.',
    opened_at DateTime64(3, 'UTC') COMMENT 'Event time of the event that opened it.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Event time of this version.',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was closed; NULL until then.',
    event_ids Array(String) COMMENT 'Its events, the one that opened it first; 1 to 100.',
    probability Float64 COMMENT 'Highest calibrated probability of its events; 0 to 1.',
    interval_low Float64 COMMENT 'Lower Venn-Abers bound of this event; 0 to 1.',
    interval_high Float64 COMMENT 'Upper Venn-Abers bound of this event; 0 to 1.',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored it.',
    summary String COMMENT 'What it says, for people.',
    by LowCardinality(String) COMMENT 'Who caused this version: system or a user name.',
    reason LowCardinality(String) COMMENT 'Why there is this version: opened, added, started, closed, comment, assigned.',
    note Nullable(String) COMMENT 'What the person said who caused this version; NULL without a word.',
    assignee Nullable(String) COMMENT 'Who works on it; NULL for nobody.',
    source_partition Int32 COMMENT 'Partition of the ticket topic.',
    source_offset Int64 COMMENT 'Offset in the ticket topic.',
    record_time DateTime64(3, 'UTC') COMMENT 'When this version was published: its Kafka timestamp.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, ticket_id)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Each ticket as it stands.';

CREATE TABLE IF NOT EXISTS {database}.ticket_events AS {database}.tickets
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(opened_at)
ORDER BY (tenant_id, opened_at, ticket_id, seq)
TTL toDateTime(opened_at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every version of every ticket: what happened to it, when, by whom.';

CREATE OR REPLACE VIEW {database}.v_tickets AS
SELECT * FROM {database}.tickets FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_ticket_events AS
SELECT * FROM {database}.ticket_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
