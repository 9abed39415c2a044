-- Tickets of the random audit beside those of decisions.
ALTER TABLE {database}.tickets
    ADD COLUMN IF NOT EXISTS purpose LowCardinality(String) DEFAULT 'decision'
        COMMENT 'Why it was opened: decision, or audit (an event that was cleared, and drawn at random).' AFTER assignee;

ALTER TABLE {database}.ticket_events
    ADD COLUMN IF NOT EXISTS purpose LowCardinality(String) DEFAULT 'decision'
        COMMENT 'Why it was opened: decision, or audit (an event that was cleared, and drawn at random).' AFTER assignee;

CREATE OR REPLACE VIEW {database}.v_tickets AS
SELECT * FROM {database}.tickets FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_ticket_events AS
SELECT * FROM {database}.ticket_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
