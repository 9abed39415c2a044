-- Who changed which setting, when and why, and what was refused.
CREATE TABLE IF NOT EXISTS {database}.control_audit
(
    tenant_id LowCardinality(String) COMMENT 'Tenant concerned, or * for all of them.',
    command_id String COMMENT 'The command.',
    action LowCardinality(String) COMMENT 'set or undo.',
    name LowCardinality(String) COMMENT 'Setting concerned.',
    outcome LowCardinality(String) COMMENT 'accepted or refused.',
    code LowCardinality(String) COMMENT 'Class of the refusal; empty when accepted.',
    message String COMMENT 'What was done, or what was expected and what came.',
    asked Nullable(String) COMMENT 'Value asked for, as JSON text.',
    expected_version Int32 COMMENT 'Version that the sender expected.',
    previous_value Nullable(String) COMMENT 'Value before the command, as JSON text.',
    value Nullable(String) COMMENT 'Value after the command, as JSON text; null when it has none of its own.',
    version Int32 COMMENT 'Newest version after the command; 0 when there is none.',
    valid_from Nullable(DateTime64(3, 'UTC')) COMMENT 'Record timestamp from which that version holds; 1970 for what acts at once.',
    command_offset Int64 COMMENT 'Offset of the command: the order of all changes, and control_offset of predictions.',
    by String COMMENT 'Who asked for it.',
    at DateTime64(3, 'UTC') COMMENT 'When it was asked for.',
    reason String COMMENT 'Why.',
    source_partition Int32 COMMENT 'Partition of its record.',
    source_offset Int64 COMMENT 'Offset of its record.',
    record_time DateTime64(3, 'UTC') COMMENT 'When the command was judged: the timestamp of its record.'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, name, at, command_offset)
TTL toDateTime(at) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every command to change a setting, and what came of it.';

CREATE OR REPLACE VIEW {database}.v_control_audit AS
SELECT * FROM {database}.control_audit FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
