-- What analysts read. FINAL makes a row that was written twice, or in several versions, count once.
-- All rows of one key lie in one month, so months need not be merged with each other.
CREATE OR REPLACE VIEW {database}.v_predictions AS
SELECT * FROM {database}.predictions FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_metric_samples AS
SELECT * FROM {database}.metric_samples FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_alerts AS
SELECT * FROM {database}.alerts FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_alert_events AS
SELECT * FROM {database}.alert_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_dead_letters AS
SELECT * FROM {database}.dead_letters FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Everything that was published to the topic before complete_until is in the tables.
CREATE OR REPLACE VIEW {database}.v_freshness AS
SELECT
    topic,
    count() AS partitions,
    min(until) AS complete_until,
    dateDiff('millisecond', complete_until, now64(3)) / 1000 AS seconds_behind,
    max(written) AS last_write
FROM
(
    SELECT topic, partition, argMax(complete_until, written_at) AS until, max(written_at) AS written
    FROM {database}.sink_progress FINAL
    GROUP BY sink, topic, partition
)
GROUP BY topic;
