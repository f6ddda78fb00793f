"""An ask becomes a record of the next batch: decide, fold into the layers, encode, note answers.

Everything decided here rests on what was decided before and is not yet accepted; nothing leaves
(L9). A refusal writes no record of its own: the next one covers its source, and a batch that ends
in refusals ends with a transition that only advances the sources (L8).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from schemas.errors import Internal, OutcomeUnknown, ServiceError, Stale
from schemas.ids import workflow_key
from streams.log import commands, letters
from streams.log.batch import Batch, Caller, Decided
from streams.log.commands import Command, Poison
from streams.log.counters import Counters, source_of
from streams.log.counts import Counts
from streams.log.folded import Folded
from streams.log.ports import Record
from streams.log.position import Source
from streams.log.records import Answer, Written, encode_transition
from streams.log.settings import EngineSettings
from topology.decision import Ask, Decision, ReplyBody
from topology.effects import Effect, effect_fields
from topology.own_work import FireDue, QuarantineDue

POISON = "poison"
_NOTHING = Decision([], [], [], {})


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


class Unwritable(Exception):
    """An ask whose transition cannot be written: it is too large (L14), or a bug (L13)."""

    def __init__(self, ask: Ask, reason: str, *, is_bug: bool) -> None:
        super().__init__(reason)
        self.ask = ask
        self.reason = reason
        self.is_bug = is_bug


class Unwritten(NamedTuple):
    """An ask that could not be written, until everything before it is stored."""

    error: Unwritable
    caller: Caller
    command: Command | None


class Deciding:
    """Decides for one claim of one partition."""

    def __init__(
        self,
        folded: Folded,
        *,
        commands_of: tuple[commands.Namespaces, commands.Parse],
        settings: EngineSettings,
        counts: Counts,
        performed: Callable[[], int],
    ) -> None:
        self._folded = folded
        self._namespaces, self._parse = commands_of
        self._settings = settings
        self._counts = counts
        self._performed = performed
        self.batch = Batch()
        self.claim = (0, b"")
        self.topic_ids: dict[str, str] = {}
        self._seq = 0
        self._unsaid: dict[str, Source] = {}
        self._counters = Counters(folded.partitions)

    def begin(self, topic_ids: dict[str, str]) -> None:
        """Begin anew, on what is accepted."""
        self.drop()
        position = self._folded.position
        self.claim = (position.epoch, position.incarnation)
        self.topic_ids = topic_ids
        self._seq = position.seq
        self._counters.begin(position)

    def drop(self) -> None:
        """Forget what is decided and not launched (L5)."""
        for decided in self.batch.transitions:
            self._folded.answers.drop(decided.command_ids)
        self.batch = Batch()
        self._unsaid = {}

    def launch(self, moment: Moment) -> Batch:
        """Close the batch and return it; it ends with a record that covers all of it (L8)."""
        if self._unsaid:
            self._record(None, _NOTHING, (), moment)
        batch, self.batch = self.batch, Batch()
        self._folded.layers.launch()
        return batch

    # -- commands

    def command(self, command: Command, moment: Moment) -> None:
        """Decide a command; raises Unwritable, and then it is not decided."""
        before = self._unsaid, dict(self.batch.sources)
        if not self._is_next(command):
            self._counts.forwards_ignored += 1
            self.cover(command.topic, command.record.offset)
            return
        self._cover(command)
        try:
            self._covered(command, moment)
        except Unwritable:
            self._unsaid, self.batch.sources = before
            if command.forward is not None:
                self._counters.take(command.forward.sender, command.forward.counter - 1)
            raise

    def _is_next(self, command: Command) -> bool:
        """Whether a command is no forward, or the one behind the last of its sender (L16)."""
        arrived = command.forward
        return arrived is None or arrived.counter == self._counters.last(arrived.sender) + 1

    def _covered(self, command: Command, moment: Moment) -> None:
        if commands.is_late(command, self._folded.position):
            self._counts.late += 1
            for wanted in command.wanted:
                self._answer(wanted.command_id, OutcomeUnknown("expected another claim"))
            return
        if command.is_gathered:
            self._gathered(command, moment)
        else:
            self._single(command, moment)

    def _single(self, command: Command, moment: Moment) -> None:
        wanted = command.wanted[0]
        try:
            ask = commands.ask_of(command, wanted, self._namespaces, self._parse_of(command))
            decision = self._decided(ask, ask.command_id, moment)
        except ServiceError as refusal:
            self._counts.refused += 1
            self._answer(wanted.command_id, refusal)
            if told := self._told(command):
                self._write(command.record.key, Decision([], told, [], {}), [], (), moment)
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this command's end
            self.poison(command, letters.reason_of(bug), moment)
        else:
            if decision is not None:
                self._record(command.record.key, decision, (ask,), moment)

    def _gathered(self, command: Command, moment: Moment) -> None:
        merged = Decision([], [], [], {})
        for wanted in command.wanted:
            try:
                ask = commands.ask_of(command, wanted, self._namespaces, self._parse)
                decision = self._decided(ask, ask.command_id, moment)
            except ServiceError as refusal:
                self._counts.refused += 1
                self._answer(wanted.command_id, refusal)
            except Exception as bug:  # noqa: BLE001  (L13) this beat's end, not the others'
                self._counts.poison += 1
                merged.effects.append(self._letter(command, letters.reason_of(bug), moment))
                self._answer(wanted.command_id, Internal("the heartbeat met a bug"))
            else:
                if decision is not None:
                    self._merge(merged, decision)
        if merged.changes or merged.effects or merged.replies:
            self._record(command.record.key, merged, (), moment)

    def _merge(self, merged: Decision, decision: Decision) -> None:
        self._folded.layers.decided.update(decision.rows)
        merged.changes += decision.changes
        merged.effects += decision.effects
        merged.replies += decision.replies

    def poison(self, command: Command, reason: str, moment: Moment) -> None:
        """End a command that cannot be decided: a dead letter, and INTERNAL to its caller."""
        command_id = command.wanted[0].command_id if command.wanted else b""
        effects = [self._letter(command, reason, moment), *self._told(command)]
        self._bury(command.record.key, effects, command_id, moment)

    def unreadable(self, topic: str, record: Record, error: Poison, moment: Moment) -> None:
        """End a record that is no command."""
        self.poison(Command(topic, record, ()), str(error), moment)

    def cover(self, topic: str, offset: int) -> None:
        """Note that a command is decided: the next transition says so (L8)."""
        self._note_source(topic, Source(self.topic_ids[topic], offset))

    def _cover(self, command: Command) -> None:
        self.cover(command.topic, command.record.offset)
        if command.forward is not None:
            sender, counter, _ = command.forward
            self._counters.take(sender, counter)
            self._note_source(source_of(sender), Source("", counter))

    def _note_source(self, name: str, source: Source) -> None:
        self._unsaid = {**self._unsaid, name: source}
        self.batch.sources[name] = source

    def _parse_of(self, command: Command) -> commands.Parse:
        arrived, machine = command.forward, self._folded.machine
        if arrived is None:
            return self._parse
        return lambda method, request: machine.parse_forward(method, request, arrived.event)

    def _told(self, command: Command | None) -> list[Effect]:
        """Return what the sender of a forward must hear that has come to nothing (L13)."""
        if command is None or command.forward is None:
            return []
        wanted, event = command.wanted[0], command.forward.event
        try:
            told = self._folded.machine.forward_failed(wanted.method, wanted.request, event)
        except Exception:  # noqa: BLE001  (L13) what cannot be read cannot be answered
            return []
        return [] if told is None else [told]

    # -- the owner's own work

    def own(self, ask: Ask, caller: asyncio.Future[bytes], moment: Moment) -> None:
        """Decide the owner's own work (L0); raises Unwritable, and then it is not decided."""
        try:
            decision = self._decided(ask, caller, moment)
        except ServiceError as refusal:
            self._answer(caller, refusal)
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this ask's end
            self._counts.poison += 1
            key = workflow_key(ask.namespace.name, ask.workflow_id)
            letter = letters.timer_letter(
                self._folded.partition, key, reason=letters.reason_of(bug), at=moment.now
            )
            self._bury(key, [letter], caller, moment)
        else:
            if decision is not None:
                self._own_decided(ask, decision, caller, moment)

    def _own_decided(self, ask: Ask, decision: Decision, caller: Caller, moment: Moment) -> None:
        if decision.changes or decision.effects or decision.rows:
            self._record(self._key(ask), decision, (ask,), moment)
        for reply in decision.replies:
            if not reply.command_id or reply.command_id == ask.command_id:
                self._answer(caller, reply.body)
                return
        self._answer(caller, b"")

    def fire(self, ask: Ask, moment: Moment) -> None:
        """Decide what is due; raises Unwritable, and then it is not decided."""
        try:
            decision = self._decided(ask, b"", moment)
        except Stale:
            self._counts.stale += 1
        except Exception as bug:  # noqa: BLE001  (L13) it must not fire for ever
            self._counts.poison += 1
            self._quarantine(ask, letters.reason_of(bug), moment)
        else:
            if decision is not None:
                self._record(self._key(ask), decision, (ask,), moment)

    def _quarantine(self, ask: Ask, reason: str, moment: Moment) -> None:
        due = ask.request
        assert isinstance(due, FireDue), f"expected a due ask, found {due!r}"
        private = QuarantineDue(due.run_id, reason[-2_000:])
        quarantine = Ask("QuarantineDue", ask.namespace, ask.workflow_id, private)
        letter = letters.timer_letter(
            self._folded.partition, self._key(ask), reason=reason, at=moment.now
        )
        try:
            decision = self._folded.machine.decide(
                quarantine, now=moment.now, seed=moment.next_seed()
            )
        except Exception as bug:  # noqa: BLE001  (L13) the letter tells both
            letter.record["reason"] = f"{reason}\n{letters.reason_of(bug)}"
            decision = Decision([], [], [], {})
        decision.effects.append(letter)
        self._record(self._key(ask), decision, (), moment)

    # -- what could not be written (L13, L14)

    def again(self, unwritten: Unwritten, moment: Moment) -> None:
        """Decide again what could not be written; everything before it is stored.

        Too large: as the termination Temporal prescribes. If that cannot be written either, or it
        was a bug, a dead letter is its end.
        """
        error, caller, command = unwritten
        if command is not None:
            self._cover(command)
        told = self._told(command)
        self._folded.machine.forget()
        if error.is_bug:
            self._give_up(error, caller, told, moment)
            return
        self._counts.oversize += 1
        try:
            self._too_large(error.ask, caller, told, moment)
        except ServiceError as refusal:
            self._answer(caller, refusal)
            if told:
                self._write(self._key(error.ask), Decision([], told, [], {}), [], (), moment)
        except Unwritable as second:
            self._folded.machine.forget()
            self._give_up(second, caller, told, moment)
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this ask's end
            reason = letters.reason_of(bug)
            self._give_up(Unwritable(error.ask, reason, is_bug=True), caller, told, moment)

    def _too_large(self, ask: Ask, caller: Caller, told: list[Effect], moment: Moment) -> None:
        decision = self._folded.machine.decide_too_large(
            ask, now=moment.now, seed=moment.next_seed()
        )
        decision.effects += told
        self._record(self._key(ask), decision, (ask,), moment)
        if isinstance(caller, asyncio.Future):
            bodies = [reply.body for reply in decision.replies]
            self._answer(caller, bodies[0] if bodies else b"")

    def _give_up(
        self, error: Unwritable, caller: Caller, told: list[Effect], moment: Moment
    ) -> None:
        key = self._key(error.ask)
        letter = letters.timer_letter(
            self._folded.partition, key, reason=error.reason, at=moment.now
        )
        self._bury(key, [letter, *told], caller, moment)

    # -- inside

    def _decided(self, ask: Ask, caller: Caller, moment: Moment) -> Decision | None:
        """Decide an ask; None: it is a repeat, answered again (L12). Raises Rejected."""
        machine = self._folded.machine
        if ask.command_id:
            known = self._folded.answers.outcome(ask.command_id, self._folded.layers)
            if known is not None:
                self._counts.repeats += 1
                body = self._again(ask, known)
                self._answer(caller, body)
                return None
        return machine.decide(ask, now=moment.now, seed=moment.next_seed())

    def _again(self, ask: Ask, known: Answer) -> ReplyBody:
        if known.outcome == POISON:
            return Internal("the command met a bug")
        return self._folded.machine.answer_again(ask, known.outcome, known.run_id)

    def _record(
        self, key: bytes | None, decision: Decision, asks: Sequence[Ask], moment: Moment
    ) -> None:
        """Write the transition of a decision into the batch; raises Unwritable."""
        answers = [
            Answer(reply.command_id, reply.outcome, reply.run_id)
            for reply in decision.replies
            if reply.command_id
        ]
        self._write(key, decision, answers, asks, moment)
        for reply in decision.replies:
            if reply.command_id:
                self._answer(reply.command_id, reply.body)

    def _write(
        self,
        key: bytes | None,
        decision: Decision,
        answers: list[Answer],
        asks: Sequence[Ask],
        moment: Moment,
    ) -> None:
        decision.effects, sent = self._counters.numbered(decision.effects)
        effects = [effect_fields(effect) for effect in decision.effects]
        seq = self._seq + 1
        performed = self._performed()
        written = Written(
            seq, self._unsaid, performed, moment.now, decision.changes, effects, answers
        )
        value = self._encoded(written, asks)
        self._keep(seq, decision, effects, answers, moment)
        self._counters.sent(sent)
        batch = self.batch
        batch.records.append((key, value))
        batch.size_bytes += len(value)
        batch.performed = performed

    def _encoded(self, written: Written, asks: Sequence[Ask]) -> bytes:
        try:
            value = encode_transition(*self.claim, written)
        except Exception as bug:
            if not asks:
                raise
            raise Unwritable(asks[0], letters.reason_of(bug), is_bug=True) from bug
        if asks and len(value) > self._settings.transition_max_bytes:
            reason = f"{asks[0].method} needs a record of {len(value)} bytes"
            raise Unwritable(asks[0], reason, is_bug=False)
        return value

    def _keep(
        self,
        seq: int,
        decision: Decision,
        effects: list[dict[str, object]],
        answers: list[Answer],
        moment: Moment,
    ) -> None:
        """Fold a decision into the layers, and note what leaves once it is accepted."""
        self._seq = seq
        self._unsaid = {}
        rows = self._folded.layers.decided
        rows.update(decision.rows)
        if effects:
            bodies = [bytes(each["body"]) for each in effects]  # type: ignore[call-overload]  # encoded above
            self._folded.outbox.put(seq, bodies, rows)
        ids: tuple[bytes, ...] = ()
        if answers:
            ids = self._folded.answers.on_decided(seq, moment.now, answers, rows)
        batch = self.batch
        batch.transitions.append(Decided(seq, moment.now, ids, decision.effects))
        batch.runs.extend(change.run_id for change in decision.changes)
        batch.recorded_at = max(batch.recorded_at, moment.now)

    def _bury(
        self, key: bytes | None, effects: list[Effect], caller: Caller, moment: Moment
    ) -> None:
        self._counts.poison += 1
        answers = []
        if isinstance(caller, bytes) and caller:
            answers.append(Answer(caller, POISON, ""))
        self._write(key, Decision([], effects, [], {}), answers, (), moment)
        self._answer(caller, Internal("the request met a bug; it is in the dead letters"))

    def _letter(self, command: Command, reason: str, moment: Moment) -> Effect:
        return letters.command_letter(
            (command.topic, self._folded.partition),
            command.record,
            reason=reason,
            at=moment.now,
            max_bytes=self._settings.letter_max_bytes,
        )

    def _answer(self, caller: Caller, body: ReplyBody) -> None:
        if caller:
            self.batch.answers.append((caller, body))

    def _key(self, ask: Ask) -> bytes:
        return workflow_key(ask.namespace.name, ask.workflow_id)
