"""Settings of the log engine: sizes, timeouts and intervals, each with its unit."""

import msgspec


class EngineSettings(msgspec.Struct, frozen=True):
    """How the engine of one node works."""

    generation: int = 1
    """Which mapping of keys to partitions holds (L11)."""
    node: str = "node"
    """Name of the node, written into its claims."""
    address: str = ""
    """Where the node answers calls of other nodes, host:port."""
    append_timeout_s: float = 10.0
    """An append that is not acknowledged by then has an unknown outcome (L4)."""
    flight_timeout_s: float = 30.0
    """How long a takeover waits for own appends still in flight (L5)."""
    backlog_max_count: int = 2_000
    """Undecided commands of a partition beyond which no more are wanted."""
    batch_max_count: int = 1_000
    """Records in one append."""
    batch_max_bytes: int = 8 << 20
    """Bytes after which no more is decided into one append."""
    slice_count: int = 64
    """Asks decided before the loop gets its turn."""
    timers_count: int = 32
    """Due timers fired between two slices of commands (T2)."""
    expiry_count: int = 64
    """Closed runs deleted in one transition once their retention is over."""
    expiry_factor: float = 0.1
    """Most of the time that deciding such deletions may take, a fraction."""
    transition_max_bytes: int = 4 << 20
    """Beyond it an ask is decided again as the termination Temporal prescribes (L14)."""
    letter_max_bytes: int = 1 << 20
    """A dead letter repeats a command's value up to this size; the topic has the rest (L13)."""
    carried_max_bytes: int = 3 << 20
    """A command of a client on the wrong partition is carried to its own up to this size (L11)."""
    replies_prefix: str = "replies"
    """What the names of reply topics begin with that Kafka clients may name (L17)."""
    far_count: int = 5_000
    """Records behind the end beyond which a partition is read by the far reader."""
    answers_keep_s: float = 120.0
    """How long outcomes of commands are remembered, at least (L12)."""
    answers_keep_count: int = 20_000
    """How many outcomes of commands are remembered, at least (L12)."""
    fence_delay_s: float = 1.0
    """Shortest wait after a foreign claim; the longest is three times that (L5)."""
    upkeep_interval_s: float = 60.0
    """Between two trimmings of the command topics (V2)."""
    commands_keep_s: float = 7 * 24 * 3600.0
    """How long records of `commands` are kept after they were folded (V2)."""
    waiters_max_count: int = 200_000
    """Calls that may wait in one partition, by kind (C3)."""
    commands_gate_s: float = 5.0
    """Silence on `commands` after which timers no longer wait for its end at the claim (T2)."""
    namespaces_timeout_s: float = 10.0
    """How long a command waits for what its frontend had read of `namespaces` (N1)."""
    check_replay: bool = False
    """Fold every accepted record once more; where that makes other rows, the process stops."""
    drain_timeout_s: float = 5.0
    """How long a planned stop decides and answers what was appended (C7)."""
