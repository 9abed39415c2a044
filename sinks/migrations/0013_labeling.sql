-- Weekly batches of labeling tasks: what each is part of, how it was drawn, and what two people said of one reading.
ALTER TABLE {database}.labeling_tasks
    ADD COLUMN IF NOT EXISTS batch Nullable(String)
        COMMENT 'The weekly batch that it is part of: its day, YYYY-MM-DD; NULL of tasks that the stream opens.' AFTER note,
    ADD COLUMN IF NOT EXISTS propensity Nullable(Float64)
        COMMENT 'Of a random task: the probability with which it was drawn, of the readings that nobody had judged or was asked about.' AFTER batch;

CREATE OR REPLACE VIEW {database}.v_labeling_tasks AS
SELECT * FROM {database}.labeling_tasks FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_label_pairs AS
SELECT
    s.tenant_id AS tenant_id,
    s.batch AS batch,
    s.task_id AS task_id,
    s.event_id AS event_id,
    f.verdict AS first_verdict,
    f.decided_by AS first_by,
    f.decided_at AS first_at,
    s.verdict AS second_verdict,
    s.decided_by AS second_by,
    s.decided_at AS second_at
FROM
(
    SELECT t.tenant_id AS tenant_id, t.batch AS batch, t.task_id AS task_id, t.event_id AS event_id,
        o.verdict AS verdict, o.decided_by AS decided_by, o.decided_at AS decided_at, o.outcome_id AS outcome_id
    FROM {database}.labeling_tasks AS t FINAL
    INNER JOIN {database}.outcomes_ocr AS o FINAL
        ON o.tenant_id = t.tenant_id AND o.event_id = t.event_id
    WHERE t.reason = 'duplicate' AND t.state = 'labelled' AND o.outcome_id = concat('label-', toString(t.task_id))
    ORDER BY decided_at DESC
    LIMIT 1 BY tenant_id, task_id
) AS s
INNER JOIN {database}.outcomes_ocr AS f FINAL
    ON f.tenant_id = s.tenant_id AND f.event_id = s.event_id
WHERE f.outcome_id != s.outcome_id AND f.decided_at < s.decided_at
ORDER BY first_at DESC
LIMIT 1 BY tenant_id, task_id;
