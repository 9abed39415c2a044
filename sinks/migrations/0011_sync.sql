-- Syncs as they were published: what anyone may send, the stream judges. With outcomes_sync, in the order of record_time
-- and place, they are all that scores of conflicts are made of.
CREATE TABLE IF NOT EXISTS {database}.events_sync
(
    tenant_id LowCardinality(String) COMMENT 'Tenant that owns the entity.',
    event_id String COMMENT 'Unique per tenant.' CODEC(ZSTD(1)),
    user_id String COMMENT 'Who syncs.' CODEC(ZSTD(1)),
    device_id Nullable(String) COMMENT 'Phone or browser.' CODEC(ZSTD(1)),
    domain LowCardinality(String) COMMENT 'Part of the application.',
    entity_type LowCardinality(String) COMMENT 'Kind of entity in it.',
    entity_id String COMMENT 'The entity, unique among those of its domain and type.' CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') COMMENT 'When the client asked.' CODEC(Delta, LZ4),
    last_synced_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the client last had the server''s version of the entity; NULL where it does not say.',
    fields_changed Array(LowCardinality(String)) COMMENT 'Fields that the user changed since then.',
    source_partition Int32 COMMENT 'Partition of events.sync.',
    source_offset Int64 COMMENT 'Offset in events.sync.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'When it was published: its Kafka timestamp.' CODEC(Delta, LZ4),
    precedence UInt64 MATERIALIZED 9223372036854775807 - source_offset COMMENT 'Of syncs with one event_id the first published holds, as for the agent.',
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, user_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Clients that asked to sync what their users did with an entity, before the merge.';

CREATE TABLE IF NOT EXISTS {database}.outcomes_sync
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned.',
    outcome_id Nullable(String) COMMENT 'As the sender named it; NULL where it did not.',
    event_id String COMMENT 'The sync.' CODEC(ZSTD(1)),
    user_id String COMMENT 'User of the sync.' CODEC(ZSTD(1)),
    conflict_occurred Bool COMMENT 'Whether a field had been changed on both sides.',
    resolution Nullable(String) COMMENT 'What became of a conflict, in the sender''s words.',
    decided_at DateTime64(3, 'UTC') COMMENT 'When that was known.' CODEC(Delta, LZ4),
    source_partition Int32 COMMENT 'Partition of outcomes.sync.',
    source_offset Int64 COMMENT 'Offset in outcomes.sync.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'When it was published: its Kafka timestamp.' CODEC(Delta, LZ4),
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(decided_at)
ORDER BY (tenant_id, event_id, decided_at, source_partition, source_offset)
TTL toDateTime(decided_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What came of syncs, as it was published; the labels say which of them holds.';

CREATE OR REPLACE VIEW {database}.v_events_sync AS
SELECT * FROM {database}.events_sync FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_outcomes_sync AS
SELECT * FROM {database}.outcomes_sync FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

ALTER TABLE {database}.predictions COMMENT COLUMN held_out 'Whether advice was withheld on purpose, so that what comes of the event shows what comes without it.';

ALTER TABLE {database}.labelled_predictions COMMENT COLUMN held_out 'Whether advice was withheld on purpose, so that what comes of the event shows what comes without it.';

-- How good each version was, hour by hour of the events, as far as it is known by now.
CREATE OR REPLACE VIEW {database}.v_accuracy_hourly AS
SELECT
    tenant_id,
    model,
    model_version,
    slot,
    toStartOfHour(event_time) AS hour,
    count() AS labelled,
    countIf(source = 'timeout') AS presumed,
    countIf(assumeNotNull(label)) AS positives,
    avg(probability) AS mean_probability,
    avg(pow(probability - assumeNotNull(label), 2)) AS brier,
    countIf(risk_level IN ('HIGH', 'CRITICAL')) AS flagged,
    countIf(risk_level IN ('HIGH', 'CRITICAL') AND assumeNotNull(label)) AS flagged_right,
    if(
        positives = 0 OR positives = labelled,
        NULL,
        (flagged_right / positives + 1 - (flagged - flagged_right) / (labelled - positives)) / 2
    ) AS balanced_accuracy
FROM {database}.v_labelled_predictions
WHERE label IS NOT NULL
GROUP BY tenant_id, model, model_version, slot, hour;
