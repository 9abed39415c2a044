-- How far each sink has stored each topic partition. The newest seq holds.
-- planned_last >= next_offset: exactly next_offset..planned_last may be stored in part, and is stored again.
CREATE TABLE IF NOT EXISTS {database}.sink_progress
(
    sink LowCardinality(String) COMMENT 'Name of the sink; processes that share partitions have one name.',
    topic String COMMENT 'Name of the topic, with its prefix.',
    topic_id String COMMENT 'UUID that Kafka gave the topic: a topic that was made anew has another.',
    partition Int32 COMMENT 'Partition of the topic.',
    next_offset Int64 COMMENT 'Everything below is stored in every table.',
    planned_last Int64 COMMENT 'Last offset of the range under way; below next_offset when there is none.',
    complete_until DateTime64(3, 'UTC') COMMENT 'What was published up to here is stored.',
    seq UInt64 COMMENT 'Number of this entry: the owner counts up.',
    written_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When this entry was written.'
)
ENGINE = ReplacingMergeTree(seq)
ORDER BY (sink, topic, topic_id, partition)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'How far each sink has stored each topic partition.';
