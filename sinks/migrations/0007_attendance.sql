-- Check-ins and check-outs as they were scored. Replays read in the order of source_partition and source_offset.
CREATE TABLE IF NOT EXISTS {database}.events_attendance
(
    tenant_id LowCardinality(String) COMMENT 'Tenant that employs the person.',
    event_id String COMMENT 'Unique per tenant.' CODEC(ZSTD(1)),
    person_id String COMMENT 'Whose account it is.' CODEC(ZSTD(1)),
    site_id LowCardinality(String) COMMENT 'Site that the person claims to be at.',
    kind LowCardinality(String) COMMENT 'CHECK_IN or CHECK_OUT.',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it was registered.' CODEC(Delta, LZ4),
    latitude Nullable(Float64) COMMENT 'Of the fix, WGS 84; degrees.',
    longitude Nullable(Float64) COMMENT 'Of the fix, WGS 84; degrees.',
    gps_accuracy_m Nullable(Float64) COMMENT 'What the device believes of its fix; metres.',
    fix_age_s Nullable(Float64) COMMENT 'Age of the fix; seconds.',
    mock_location Nullable(Bool) COMMENT 'Whether the system says that an app made up the location.',
    scheduled_start Nullable(DateTime64(3, 'UTC')) COMMENT 'Begin of the shift on the roster.',
    face_confidence Nullable(Float64) COMMENT 'Similarity of the face to the enrolled one; 0 to 1.',
    face_matched Nullable(Bool) COMMENT 'Whether the sender took it for the same face.',
    device_id Nullable(String) COMMENT 'Phone or terminal.' CODEC(ZSTD(1)),
    allowed_sites Array(LowCardinality(String)) COMMENT 'Sites of the event''s own roster; empty, too, where it has none.',
    own_roster Bool COMMENT 'Whether the event came with a roster of its own.',
    published_at DateTime64(3, 'UTC') COMMENT 'Kafka timestamp of events.attendance: sites and rosters were those of this time.' CODEC(Delta, LZ4),
    accounts_per_device_30d Nullable(Float64) COMMENT 'People on the device in 30 days, this one included.',
    accounts_on_device_5min Nullable(Float64) COMMENT 'People on the device in 5 minutes, this one included.',
    seconds_since_other_account Nullable(Float64) COMMENT 'Time to the nearest use by somebody else within these 5 minutes; seconds.',
    source_partition Int32 COMMENT 'Partition of attendance.enriched.',
    source_offset Int64 COMMENT 'Offset in attendance.enriched: the order in which events were scored.' CODEC(Delta, LZ4),
    record_time DateTime64(3, 'UTC') COMMENT 'Kafka timestamp of that record.' CODEC(Delta, LZ4),
    CONSTRAINT tenant CHECK match(tenant_id, '^[a-z0-9_][a-z0-9_-]*$')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, person_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Check-ins and check-outs as they were scored, with what their devices told.';

CREATE OR REPLACE VIEW {database}.v_events_attendance AS
SELECT * FROM {database}.events_attendance FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
