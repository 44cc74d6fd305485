-- What the cluster said last of each namespace, service and node, as JSON; it is what is known while the API server is away.
CREATE TABLE cluster (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
