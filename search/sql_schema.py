"""The tables of an SQLite search store (`sqlite.py`), one file a generation.

- `spaces`: a namespace and a division of it. Nearly every query is about one space, so every
  index begins with it.
- `runs`: a row a run, small enough to be scanned; `place` is its close time, or the end of time
  while it is open: (place, started_at, run_id) descending is the default order. `records` has
  the documents that are shown.
- `postings`: a row a value of a custom or predefined attribute, in the default order within the
  value: a list by one of them reads as many rows as it shows. `texts` has the words of Text.
- `counters`: how many runs a space has by type and status.
- `tombstones`: deleted runs, `cursors`: how far the indexer is.
"""

from typing import Final

VERSION: Final = 1
"""Written as `user_version`; a file of another version is built anew."""

TABLES: Final = """
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY,
    namespace_id TEXT NOT NULL,
    division TEXT
);
CREATE INDEX spaces_namespace ON spaces (namespace_id);

CREATE TABLE attributes (
    id INTEGER PRIMARY KEY,
    space INTEGER NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (space, key)
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    space INTEGER NOT NULL,
    division TEXT,
    place INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    workflow_type TEXT NOT NULL,
    status TEXT NOT NULL,
    closed_at INTEGER,
    execution_at INTEGER NOT NULL,
    task_queue TEXT,
    parent_workflow_id TEXT,
    parent_run_id TEXT,
    root_workflow_id TEXT,
    root_run_id TEXT,
    history_length INTEGER,
    history_bytes INTEGER,
    state_transition_count INTEGER,
    execution_duration INTEGER,
    has_postings INTEGER NOT NULL,
    has_texts INTEGER NOT NULL
);
CREATE INDEX runs_default ON runs (space, place, started_at, run_id);
CREATE INDEX runs_type ON runs (space, workflow_type, place, started_at, run_id);
CREATE INDEX runs_status ON runs (space, status, place, started_at, run_id);
CREATE INDEX runs_workflow ON runs (space, workflow_id, place, started_at, run_id);
CREATE INDEX runs_run ON runs (run_id);
CREATE INDEX runs_started ON runs (space, started_at, run_id);
CREATE INDEX runs_queue ON runs (space, task_queue);
CREATE INDEX runs_parent ON runs (space, parent_workflow_id) WHERE parent_workflow_id IS NOT NULL;
CREATE INDEX runs_root ON runs (space, root_workflow_id);

CREATE TABLE records (
    run INTEGER PRIMARY KEY,
    document BLOB NOT NULL
);

CREATE TABLE postings (
    attribute INTEGER NOT NULL,
    value NOT NULL,
    place INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (attribute, value, place, started_at, run)
) WITHOUT ROWID;
CREATE INDEX postings_run ON postings (run, attribute, value);

CREATE VIRTUAL TABLE texts USING fts5 (
    words, detail = 'none', columnsize = 0, tokenize = "ascii tokenchars '_.:,;'''"
);

CREATE TABLE counters (
    space INTEGER NOT NULL,
    division TEXT,
    workflow_type TEXT NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (space, workflow_type, status)
) WITHOUT ROWID;

CREATE TABLE tombstones (
    namespace_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, run_id)
) WITHOUT ROWID;

CREATE TABLE cursors (
    partition INTEGER PRIMARY KEY,
    cursor BLOB NOT NULL
);
"""

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # what a power cut takes, the cursors say is to be read again
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 1073741824",
)

INSERT_RUN: Final = (
    "INSERT INTO runs (version, space, division, place, started_at, run_id, workflow_id, "
    "workflow_type, status, closed_at, execution_at, task_queue, parent_workflow_id, "
    "parent_run_id, root_workflow_id, root_run_id, history_length, history_bytes, "
    "state_transition_count, execution_duration, has_postings, has_texts, id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
UPDATE_RUN: Final = (
    "UPDATE runs SET version = ?, space = ?, division = ?, place = ?, started_at = ?, "
    "run_id = ?, workflow_id = ?, workflow_type = ?, status = ?, closed_at = ?, "
    "execution_at = ?, task_queue = ?, parent_workflow_id = ?, parent_run_id = ?, "
    "root_workflow_id = ?, root_run_id = ?, history_length = ?, history_bytes = ?, "
    "state_transition_count = ?, execution_duration = ?, has_postings = ?, has_texts = ? "
    "WHERE id = ?"
)
COUNT: Final = (
    "INSERT INTO counters (space, division, workflow_type, status, count) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
