"""The keys of a run's rows (run ids are text of 36 characters).

c <namespace id> / <workflow id>         the newest run of a workflow id
r <run id> x                             the execution
r <run id> a <scheduled event id>        an activity
r <run id> t <timer id>                  a timer
r <run id> m                             the memo
r <run id> s                             the search attributes
r <run id> b <index>                     a buffered event
q <run id> <request id>                  a request id that was used
h <run id> <first event id>              a batch of history: concatenated `History` bytes
d <due at> <run id> <row>                what is due when; the value is empty
w <namespace id> <closed at> <run id>    a closed run that waits for its archive; the value is empty
v <namespace id> <closed at> <run id>    one whose archive refused it; the value is empty
e <due at> <run id>                      when a closed run is to be deleted; the value is empty
g <run id>                               a deleted run whose other rows are yet to be erased
"""

DUE = b"d"
EXPIRY = b"e"
DELETED = b"g"
WAITING = b"w"
SET_ASIDE = b"v"
_RUN_ID_BYTES = 36
_DUE_AT = slice(1, 9)
_DUE_RUN = slice(9, 9 + _RUN_ID_BYTES)


def current_key(namespace_id: str, workflow_id: str) -> bytes:
    """Return the key of the newest run of a workflow id."""
    return f"c{namespace_id}/{workflow_id}".encode()


def execution_key(run_id: str) -> bytes:
    """Return the key of a run's execution row."""
    return f"r{run_id}x".encode()


def request_key(run_id: str, request_id: str) -> bytes:
    """Return the key that remembers a request id."""
    return f"q{run_id}{request_id}".encode()


def batches_prefix(run_id: str) -> bytes:
    """Return the prefix of a run's history batches."""
    return f"h{run_id}".encode()


def batch_key(run_id: str, first_event_id: int) -> bytes:
    """Return the key of the history batch that begins at an event id."""
    return f"h{run_id}".encode() + first_event_id.to_bytes(8)


def due_key(due_at: int, run_id: str, row: bytes) -> bytes:
    """Return the key that says when a row of a run is due."""
    return DUE + due_at.to_bytes(8) + run_id.encode() + row


def due_of(key: bytes) -> tuple[int, str]:
    """Return the instant and the run id of a due key."""
    return int.from_bytes(key[_DUE_AT]), key[_DUE_RUN].decode()


def archive_key(kind: bytes, namespace_id: str, closed_at: int, run_id: str) -> bytes:
    """Return the key of a closed run that is not in its archive."""
    return kind + namespace_id.encode() + closed_at.to_bytes(8) + run_id.encode()


def archive_of(key: bytes) -> tuple[str, int, str]:
    """Return the namespace id, the close time and the run id of such a key."""
    rest, run_id = key[1:-_RUN_ID_BYTES], key[-_RUN_ID_BYTES:]
    return rest[:-8].decode(), int.from_bytes(rest[-8:]), run_id.decode()


def runs_prefix() -> bytes:
    """Return the prefix of the rows of all runs."""
    return b"r"


def run_id_of(key: bytes) -> str:
    """Return the run id in a key of a run's rows."""
    return key[1 : 1 + _RUN_ID_BYTES].decode()


def expiry_key(due_at: int, run_id: str) -> bytes:
    """Return the key that says when a closed run is to be deleted."""
    return EXPIRY + due_at.to_bytes(8) + run_id.encode()


def deleted_key(run_id: str) -> bytes:
    """Return the key that says that rows of a deleted run are yet to be erased."""
    return DELETED + run_id.encode()


def prefixes_of_deleted(key: bytes) -> tuple[bytes, ...]:
    """Return the prefixes of all rows of a deleted run, which nobody reads any more."""
    run_id = key[len(DELETED) :]
    return b"r" + run_id, b"q" + run_id, b"h" + run_id


def run_prefix(run_id: str) -> bytes:
    """Return the prefix of the rows of a run that are loaded together."""
    return f"r{run_id}".encode()
