"""A decision becomes a record of the next batch: sources, counters, encoding, what leaves with it.

Nothing is decided here. Everything that is written rests on what was written before and is not yet
accepted; nothing leaves (L9). `launch` hands over a batch whose records cover all that went into it
(L8).
"""

from collections.abc import Callable, Sequence

from schemas.errors import ServiceError
from streams.log import clients, letters
from streams.log.batch import Batch, Caller, Decided
from streams.log.clients import Asked
from streams.log.commands import Command
from streams.log.counters import Counters, source_of
from streams.log.folded import Folded
from streams.log.position import Source
from streams.log.records import Answer, Written, encode_transition
from streams.log.settings import EngineSettings
from topology.decision import Ask, Decision, ReplyBody
from topology.effects import effect_fields

_UNENCODABLE = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
_NOTHING = Decision([], [], [], {})

Sources = dict[str, Source]


class Unwritable(Exception):
    """An ask whose transition cannot be written: it is too large (L14), or a bug (L13)."""

    def __init__(self, ask: Ask, reason: str, *, is_bug: bool) -> None:
        super().__init__(reason)
        self.ask = ask
        self.reason = reason
        self.is_bug = is_bug


class Moment:
    """When and with which randomness the asks of one slice are decided."""

    def __init__(self, now: int, seed: bytes) -> None:
        self.now = now
        self._seed = seed
        self._count = 0

    def next_seed(self) -> bytes:
        """Return the seed of the next ask."""
        self._count += 1
        return self._seed + self._count.to_bytes(4)


class Writing:
    """Writes for one claim of one partition."""

    def __init__(
        self, folded: Folded, settings: EngineSettings, *, performed: Callable[[], int]
    ) -> None:
        self._folded = folded
        self._settings = settings
        self._performed = performed
        self.batch = Batch()
        self.claim = (0, b"")
        self.topic_ids: dict[str, str] = {}
        self.counters = Counters(folded.partitions)
        self._seq = 0
        self._unsaid: Sources = {}

    def begin(self, topic_ids: dict[str, str]) -> None:
        """Begin anew, on what is accepted."""
        self.drop()
        position = self._folded.position
        self.claim = (position.epoch, position.incarnation)
        self.topic_ids = topic_ids
        self._seq = position.seq
        self.counters.begin(position)

    def drop(self) -> None:
        """Forget what is decided and not launched (L5)."""
        for decided in self.batch.transitions:
            self._folded.answers.drop(decided.command_ids)
        self.batch = Batch()
        self._unsaid = {}

    def launch(self, moment: Moment) -> Batch:
        """Close the batch and return it; it ends with a record that covers all of it (L8)."""
        if self._unsaid:
            self.record(None, _NOTHING, (), moment)
        batch, self.batch = self.batch, Batch()
        self._folded.layers.launch()
        return batch

    def cover(self, topic: str, offset: int) -> None:
        """Note that a command is decided: the next transition says so (L8)."""
        self._note_source(topic, Source(self.topic_ids[topic], offset))

    def cover_command(self, command: Command) -> None:
        """Note that a command is decided, the forward that it may be included (L16)."""
        self.cover(command.topic, command.record.offset)
        if command.forward is not None:
            sender, counter, _ = command.forward
            self.counters.take(sender, counter)
            self._note_source(source_of(sender), Source("", counter))

    def unsaid(self) -> tuple[Sources, Sources]:
        """Return what is covered and not yet said, for `unsay`."""
        return self._unsaid, dict(self.batch.sources)

    def unsay(self, before: tuple[Sources, Sources]) -> None:
        """Take back what was covered since: it is not decided after all."""
        self._unsaid, self.batch.sources = before

    def _note_source(self, name: str, source: Source) -> None:
        self._unsaid = {**self._unsaid, name: source}
        self.batch.sources[name] = source

    def record(
        self, key: bytes | None, decision: Decision, asks: Sequence[Ask], moment: Moment
    ) -> None:
        """Write the transition of a decision into the batch; raises Unwritable."""
        answers = [
            Answer(reply.command_id, reply.outcome, reply.run_id)
            for reply in decision.replies
            if reply.command_id
        ]
        self.write(key, decision, answers, moment=moment, asks=asks)
        for reply in decision.replies:
            if reply.command_id:
                self.answer(reply.command_id, reply.body)

    def write(
        self,
        key: bytes | None,
        decision: Decision,
        answers: list[Answer],
        *,
        moment: Moment,
        asks: Sequence[Ask] = (),
    ) -> None:
        """Write a transition with these answers into the batch; with `asks` raises Unwritable."""
        decision.effects, sent = self.counters.numbered(decision.effects)
        effects = [effect_fields(effect) for effect in decision.effects]
        seq = self._seq + 1
        performed = self._performed()
        written = Written(
            seq, self._unsaid, performed, moment.now, decision.changes, effects, answers
        )
        value = self._encoded(written, asks)
        self._keep(decision, written)
        self.counters.sent(sent)
        batch = self.batch
        batch.records.append((key, value))
        batch.size_bytes += len(value)
        batch.performed = performed

    def _encoded(self, written: Written, asks: Sequence[Ask]) -> bytes:
        try:
            value = encode_transition(*self.claim, written)
        except _UNENCODABLE as bug:
            if not asks:
                raise
            raise Unwritable(asks[0], letters.reason_of(bug), is_bug=True) from bug
        if asks and len(value) > self._settings.transition_max_bytes:
            reason = f"{asks[0].method} needs a record of {len(value)} bytes"
            raise Unwritable(asks[0], reason, is_bug=False)
        return value

    def _keep(self, decision: Decision, written: Written) -> None:
        """Fold a decision into the layers, and note what leaves once it is accepted."""
        seq, now = written.seq, written.decided_at
        self._seq, self._unsaid = seq, {}
        rows = self._folded.layers.decided
        rows.update(decision.rows)
        if written.effects:
            bodies = [bytes(each["body"]) for each in written.effects]  # type: ignore[call-overload]  # encoded above
            self._folded.outbox.put(seq, bodies, rows)
        ids: tuple[bytes, ...] = ()
        if written.answers:
            ids = self._folded.answers.on_decided(seq, now, written.answers, rows)
        batch = self.batch
        batch.transitions.append(Decided(seq, now, ids, decision.effects))
        batch.runs.extend(change.run_id for change in decision.changes)
        batch.recorded_at = max(batch.recorded_at, now)

    def answer(self, caller: Caller, body: ReplyBody, named: Answer | None = None) -> None:
        """Note who hears what once the batch is accepted; a client's reply names the outcome."""
        if isinstance(caller, Asked):
            if caller.reply_topic:
                error = body if isinstance(body, ServiceError) else None
                _, outcome, run_id = named or (b"", clients.REFUSED, "")
                self.batch.outgoing.append(clients.reply(caller, outcome, run_id, error))
        elif caller:
            self.batch.answers.append((caller, body))
