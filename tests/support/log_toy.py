"""A toy core: counters with due timers, refusals, poison and effects, to test the engine alone.

One counter per workflow id. It caches what it decides, as the real core does, so a forgotten
`forget` shows. Its chain of command ids makes any loss, repeat or reorder visible in its rows.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from schemas.errors import FailedPrecondition, NotFound, Rejected, Stale, Unimplemented
from schemas.rows import pack, unpacker
from topology.decision import Ask, Change, Decision, Namespace, Reply, ReplyBody, Rows, StateFact
from topology.effects import Forward, OfferTask, Quote
from topology.own_work import FireDue, QuarantineDue

NAMESPACE = Namespace("ns-id", "ns", 1, 0)

_pack = msgspec.msgpack.encode
_read = msgspec.msgpack.decode

METHODS = (
    "Add",
    "Refuse",
    "Break",
    "Later",
    "BreakLater",
    "Offer",
    "Grow",
    "Beat",
    "Send",
    "SendPoison",
    "SendRefused",
)

_SENT = {"Send": "Got", "SendPoison": "GotPoison", "SendRefused": "GotRefused"}
"""What is sent to another counter."""


class Counter(msgspec.Struct, frozen=True, array_like=True):
    """One counter."""

    total: int = 0
    count: int = 0
    chain: int = 0
    dues: tuple[tuple[int, bool], ...] = ()  # (instant, does it break)
    fired: int = 0
    sent: dict[str, int] = {}  # how many to each other counter
    got: dict[str, int] = {}  # the number of the last one from each
    failed: int = 0  # how many came to nothing


_unpack = unpacker(Counter)


def parse(method: str, request: bytes) -> object:
    """Read a toy's request: a number."""
    if method not in METHODS:
        raise Unimplemented(f"method {method} is not a command")
    return int(request or b"0")


def parse_client(
    fields: dict[str, Any], namespace: Namespace, *, size_bytes: int, nonce: str
) -> tuple[str, object]:
    """Read a toy's request from `commands`."""
    del namespace, size_bytes, nonce
    kind, body = fields["body"]
    if kind != "millrace.GrpcRequest":
        raise Unimplemented(f"{kind} is not for toys")
    return body["method"], parse(body["method"], body["request"])


def evolve(state: Counter, fact: StateFact) -> Counter:
    """Fold one fact."""
    values = _read(fact.body)
    if fact.name == "Added":
        amount, command_id = values
        chain = zlib.crc32(command_id, state.chain)
        return msgspec.structs.replace(
            state, total=state.total + amount, count=state.count + 1, chain=chain
        )
    if fact.name == "Scheduled":
        due = (values[0], values[1])
        return msgspec.structs.replace(state, dues=tuple(sorted((*state.dues, due))))
    if fact.name == "Sent":
        return msgspec.structs.replace(state, sent={**state.sent, values[0]: values[1]})
    if fact.name == "Got":
        assert values[1] == state.got.get(values[0], 0) + 1, f"{values} out of order"
        return msgspec.structs.replace(state, got={**state.got, values[0]: values[1]})
    if fact.name == "Failed":
        return msgspec.structs.replace(state, failed=state.failed + 1)
    assert fact.name == "Fired", fact
    left = tuple(due for due in state.dues if due[0] > values)
    fired = state.fired + len(state.dues) - len(left)
    return msgspec.structs.replace(state, dues=left, fired=fired)


class Toy:
    """The toy core of one partition; implements `topology.machine.Machine`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._cache: dict[str, Counter] = {}

    def decide(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Decide one ask."""
        del seed
        facts, effects, body = self._facts(ask, self._load(ask.workflow_id), now)
        return self._close(ask, facts, effects, body)

    def decide_too_large(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """End the counter's growth: a fact that says it was too large."""
        del now, seed
        if ask.request == 999:
            raise RuntimeError("too large, and broken")
        fact = StateFact("Added", _pack((-1, ask.command_id)))
        return self._close(ask, [fact], [], NotFound("too large"), "too_large")

    def fold(self, changes: Iterable[Change], *, decided_at: int) -> dict[bytes, bytes | None]:
        """Apply accepted changes."""
        del decided_at
        written: dict[bytes, bytes | None] = {}
        for change in changes:
            written.update(self._apply(change.id, change.facts))
        return written

    def answer_again(self, ask: Ask, outcome: str, run_id: str) -> ReplyBody:
        """Answer a repeat."""
        del ask
        return f"again {outcome} {run_id}".encode()

    def read(self, method: str, request: object, namespace_id: str, rows: Rows) -> bytes:
        """Return a counter's total."""
        del method, namespace_id
        row = rows.get(b"c" + str(request).encode())
        if row is None:
            raise NotFound(f"no counter {request}")
        return str(_unpack(row).total).encode()

    def parse_forward(self, method: str, request: bytes, event: bytes) -> object:
        """Read a forward: who sent it, its number, and the quoted row."""
        del method
        sender, number = _read(request)
        assert event in (b"", f"{sender}/{number}".encode()), f"{event!r} is not what was quoted"
        return sender, number

    def forward_failed(self, method: str, request: bytes, event: bytes) -> Forward | None:
        """Tell the sender of what cannot be decided."""
        del event
        return Forward("ns", _read(request)[0], "Failed", request) if method != "Failed" else None

    def quoted(self, quotes: Sequence[Quote], rows: Rows) -> list[bytes]:
        """Return the rows that are quoted."""
        found = [rows.get(_quote_key(each.run_id, each.event_id)) for each in quotes]
        assert None not in found, f"expected the rows of {quotes}"
        return found  # type: ignore[return-value]  # just asserted

    def due(self, rows: Rows, *, after: bytes, until: int, limit: int) -> list[tuple[bytes, Ask]]:
        """Return what is due."""
        found = []
        for key, _ in rows.scan(b"d", after):
            if int.from_bytes(key[1:9]) > until or len(found) == limit:
                break
            name = key[9:].decode()
            found.append((key, Ask("FireDue", NAMESPACE, name, FireDue(name))))
        return found

    def next_due_at(self, rows: Rows, *, after: bytes) -> int | None:
        """Return when something is due next."""
        for key, _ in rows.scan(after[:1] or b"d", after):
            return int.from_bytes(key[1:9])
        return None

    def rows_of_deleted(self, key: bytes) -> tuple[bytes, ...]:
        """Return the prefixes of what a counter that is gone has left."""
        return (b"x" + key[1:],)

    def forget(self) -> None:
        """Drop the cache."""
        self._cache.clear()

    def settle(self) -> None:
        """Evict: here everything, which is the hardest test."""
        self._cache.clear()

    # -- inside

    def _facts(  # noqa: PLR0911  one for each method
        self, ask: Ask, state: Counter, now: int
    ) -> tuple[list, list, ReplyBody]:
        number = ask.request
        if ask.method in _SENT or ask.method in ("Got", "GotRefused", "Failed"):
            return self._forwarded(ask, state)
        match ask.method:
            case "Add" | "Beat":
                total = state.total + number
                facts = [StateFact("Added", _pack((number, ask.command_id)))]
                return facts, [], str(total).encode()
            case "Grow":
                body = _pack((number, ask.command_id)) if number < 1_000 else bytes(number)
                return [StateFact("Added", body)], [], b"grown"
            case "Offer":
                facts = [StateFact("Added", _pack((number, ask.command_id)))]
                return facts, [_task(ask, n) for n in range(max(1, number))], b"offered"
            case "Later" | "BreakLater":
                due = (now + number, ask.method == "BreakLater")
                facts = [
                    StateFact("Added", _pack((0, ask.command_id))),
                    StateFact("Scheduled", _pack(due)),
                ]
                return facts, [], b"later"
            case "Refuse":
                raise FailedPrecondition(f"refused at {state.total}")
            case "FireDue" | "QuarantineDue":
                return self._fire(ask, state, now)
            case "Own":
                facts = [StateFact("Added", _pack((number, b"")))]
                name = ask.workflow_id
                return facts, [], lambda rows: self.read("", name, "", rows)
            case "Look":
                return [], [], str(state.total).encode()
        raise RuntimeError(f"poison {ask.method}")

    def _forwarded(self, ask: Ask, state: Counter) -> tuple[list, list, ReplyBody]:
        if ask.method == "Got":
            return [StateFact("Got", _pack(ask.request))], [], b""
        if ask.method == "Failed":
            return [StateFact("Failed", _pack(0))], [], b""
        if ask.method == "GotRefused":
            raise NotFound("refused")
        return self._send(ask, state)

    def _send(self, ask: Ask, state: Counter) -> tuple[list, list, ReplyBody]:
        name, target = ask.workflow_id, f"w{ask.request}"
        method = _SENT[ask.method]
        counted = target if method == "Got" else f"{method}/{target}"
        number = state.sent.get(counted, 0) + 1
        facts = [
            StateFact("Added", _pack((0, ask.command_id))),
            StateFact("Sent", _pack((counted, number))),
        ]
        quote = Quote(name, 0, number) if number % 2 else None
        forward = Forward("ns", target, method, _pack((name, number)), quote)
        return facts, [forward], b"sent"

    def _fire(self, ask: Ask, state: Counter, now: int) -> tuple[list, list, ReplyBody]:
        due = [each for each in state.dues if each[0] <= now]
        if not due:
            raise Stale(f"nothing is due in {ask.workflow_id}")
        if isinstance(ask.request, QuarantineDue):
            return [StateFact("Fired", _pack(now))], [], b""
        if any(breaks for _, breaks in due):
            raise RuntimeError("a broken timer")
        return [StateFact("Fired", _pack(now))], [], b""

    def _close(
        self, ask: Ask, facts: list, effects: list, body: ReplyBody, outcome: str = "done"
    ) -> Decision:
        name = ask.workflow_id
        written = self._apply(name, facts) if facts and len(facts[0].body) < 1_000 else {}
        changes = [Change("workflow", "ns-id", name, name, facts)] if facts else []
        return Decision(changes, effects, [Reply(ask.command_id, outcome, name, body)], written)

    def _apply(self, name: str, facts: Iterable[StateFact]) -> dict[bytes, bytes | None]:
        before = state = self._load(name)
        for fact in facts:
            state = evolve(state, fact)
        self._cache[name] = state
        written: dict[bytes, bytes | None] = {b"c" + name.encode(): pack(state)}
        for number in (
            state.sent[to] for to in state.sent if state.sent[to] != before.sent.get(to)
        ):
            written[_quote_key(name, number)] = f"{name}/{number}".encode()
        for at, _ in set(before.dues) - set(state.dues):
            written[_due_key(at, name)] = None
        for at, _ in set(state.dues) - set(before.dues):
            written[_due_key(at, name)] = b""
        return written

    def _load(self, name: str) -> Counter:
        known = self._cache.get(name)
        if known is None:
            row = self._rows.get(b"c" + name.encode())
            known = _unpack(row) if row is not None else Counter()
        return known


def counter(rows: Rows, name: str) -> Counter:
    """Return a counter as its rows have it."""
    row = rows.get(b"c" + name.encode())
    return Counter() if row is None else _unpack(row)


def _quote_key(name: str, number: int) -> bytes:
    return f"q{name}/{number}".encode()


def _due_key(at: int, name: str) -> bytes:
    return b"d" + at.to_bytes(8) + name.encode()


def _task(ask: Ask, number: int) -> OfferTask:
    return OfferTask(
        "ns-id", "ns", f"q{number % 3}", "workflow", ask.workflow_id, "r", number, 1, 0, 0, 0
    )


__all__ = ["METHODS", "NAMESPACE", "Counter", "Rejected", "Toy", "counter", "evolve", "parse"]
