-- Months that were sealed (number 0) and said anew (from 1). The files stay until they lie where they belong.
CREATE TABLE seals (
    month TEXT NOT NULL,
    number BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (month, number)
);

CREATE TABLE seal_files (
    month TEXT NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (month, number, name)
);
