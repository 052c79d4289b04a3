-- Components of stored plans, by the SHA-256 of their bytes, which is checked whenever one is read.
CREATE TABLE components (
    digest TEXT PRIMARY KEY,
    body   BLOB NOT NULL
) STRICT;
