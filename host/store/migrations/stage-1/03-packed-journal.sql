-- Rows are appended one after the other, whichever flow they are of. `entries`: the JSON array as an LZ4 block, with its unpacked
-- length before it (32 bits, little-endian). Text is an array as it was written before this step.
CREATE TABLE packed_journal (
    flow    BLOB NOT NULL,
    first   INTEGER NOT NULL,
    entries ANY NOT NULL,
    PRIMARY KEY (flow, first)
) STRICT;
INSERT INTO packed_journal (flow, first, entries) SELECT flow, first, entries FROM journal;
DROP TABLE journal;
ALTER TABLE packed_journal RENAME TO journal;
