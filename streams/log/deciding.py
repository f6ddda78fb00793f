"""An ask is decided: what becomes of it, and of whoever waits, whatever the core says.

Everything decided here rests on what was decided before and is not yet accepted; nothing leaves
(L9). A refusal writes no record of its own: the next one covers its source, and a batch that ends
in refusals ends with a transition that only advances the sources (L8). How a decision becomes a
record stands in `writing.py`.
"""

import asyncio
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from schemas.errors import Internal, NamespaceNotFound, OutcomeUnknown, ServiceError, Stale
from schemas.ids import workflow_key
from streams.log import clients, commands, letters
from streams.log.batch import Caller
from streams.log.clients import Asked
from streams.log.commands import Command, Poison, Wanted
from streams.log.counts import Counts
from streams.log.folded import Folded
from streams.log.ports import Record
from streams.log.records import Answer
from streams.log.settings import EngineSettings
from streams.log.writing import Moment, Unwritable, Writing
from topology.decision import Ask, Decision, Namespace, ReplyBody
from topology.effects import Effect
from topology.own_work import FireDue, QuarantineDue

_log = structlog.get_logger(__name__)

POISON = "poison"


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
        writing: Writing,
        *,
        commands_of: tuple[commands.Namespaces, commands.Parse, commands.ParseClient],
        settings: EngineSettings,
        counts: Counts,
    ) -> None:
        self._folded = folded
        self._writing = writing
        self._namespaces, self._parse, self._parse_client = commands_of
        self._settings = settings
        self._counts = counts

    # -- commands

    def command(self, command: Command, moment: Moment) -> None:
        """Decide a command; raises Unwritable, and then it is not decided."""
        before = self._writing.unsaid()
        if not self._is_next(command):
            self._ignore(command)
            self._writing.cover(command.topic, command.record.offset)
            return
        self._writing.cover_command(command)
        try:
            self._covered(command, moment)
        except Unwritable:
            self._writing.unsay(before)
            if command.forward is not None:
                sender, counter, _ = command.forward
                self._writing.counters.take(sender, counter - 1)
            raise

    def _ignore(self, command: Command) -> None:
        """Pass over a forward that is not the next of its sender; a lasting gap is a loss (L16)."""
        self._counts.forwards_ignored += 1
        arrived = command.forward
        last = 0 if arrived is None else self._writing.counters.last(arrived.sender)
        if arrived is not None and arrived.counter > last + 1:
            _log.warning(
                "forward_came_early",
                partition=self._folded.partition,
                sender=arrived.sender,
                counter=arrived.counter,
                expected=last + 1,
            )

    def _is_next(self, command: Command) -> bool:
        """Whether a command is no forward, or the one behind the last of its sender (L16)."""
        arrived = command.forward
        return arrived is None or arrived.counter == self._writing.counters.last(arrived.sender) + 1

    def _covered(self, command: Command, moment: Moment) -> None:
        if commands.is_late(command, self._folded.position):
            self._counts.late += 1
            for wanted in command.wanted:
                self._writing.answer(wanted.command_id, OutcomeUnknown("expected another claim"))
            return
        if command.is_gathered:
            self._gathered(command, moment)
        elif command.asked is not None:
            self._client(command, command.asked, moment)
        else:
            self._single(command, moment)

    def _single(self, command: Command, moment: Moment) -> None:
        wanted = command.wanted[0]
        try:
            ask = self._ask_of(command, wanted)
            decision = self._decided(ask, ask.command_id, moment)
        except ServiceError as refusal:
            self._counts.refused += 1
            self._writing.answer(wanted.command_id, refusal)
            if told := self._told(command):
                self._writing.write(
                    command.record.key, Decision([], told, [], {}), [], moment=moment
                )
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this command's end
            self.poison(command, letters.reason_of(bug), moment)
        else:
            if decision is not None:
                self._writing.record(command.record.key, decision, (ask,), moment)

    def _ask_of(self, command: Command, wanted: Wanted) -> Ask:
        """Return the ask of a command; a repeat has one also when its namespace is gone (L12)."""
        parse = self._parse_of(command)
        try:
            return commands.ask_of(command, wanted, self._namespaces, parse)
        except NamespaceNotFound:
            known = self._folded.answers.outcome(wanted.command_id, self._folded.layers)
            if known is None or not wanted.command_id:
                raise
            return commands.ask_in(Namespace("", wanted.namespace, 0, 0), command, wanted, parse)

    def _gathered(self, command: Command, moment: Moment) -> None:
        merged = Decision([], [], [], {})
        for wanted in command.wanted:
            try:
                ask = commands.ask_of(command, wanted, self._namespaces, self._parse)
                decision = self._decided(ask, ask.command_id, moment)
            except ServiceError as refusal:
                self._counts.refused += 1
                self._writing.answer(wanted.command_id, refusal)
            except Exception as bug:  # noqa: BLE001  (L13) this beat's end, not the others'
                self._counts.poison += 1
                merged.effects.append(self._letter(command, letters.reason_of(bug), moment))
                self._writing.answer(wanted.command_id, Internal("the heartbeat met a bug"))
            else:
                if decision is not None:
                    self._merge(merged, decision)
        if merged.changes or merged.effects or merged.replies:
            self._writing.record(command.record.key, merged, (), moment)

    def _merge(self, merged: Decision, decision: Decision) -> None:
        self._folded.layers.decided.update(decision.rows)
        merged.changes += decision.changes
        merged.effects += decision.effects
        merged.replies += decision.replies

    def _client(self, command: Command, asked: Asked, moment: Moment) -> None:
        """Decide a command of a Kafka client; who can be told of no refusal gets a dead letter."""
        if command.is_misrouted:
            self._carry(command, asked, moment)
            return
        if fault := clients.reply_topic_fault(asked, self._settings.replies_prefix):
            self._return(command, fault, moment)
            return
        topic_id = self._writing.topic_ids[commands.OUTSIDE]
        try:
            ask = commands.client_ask(
                command, self._namespaces, self._parse_client, topic_id=topic_id
            )
        except ServiceError as refusal:
            self._counts.refused += 1
            if asked.reply_topic:
                self._writing.answer(asked, refusal)
            else:
                self._return(command, refusal.message, moment)
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this command's end
            self.poison(command, letters.reason_of(bug), moment)
        else:
            self._asked(command, asked, ask, moment)

    def _asked(self, command: Command, asked: Asked, ask: Ask, moment: Moment) -> None:
        try:
            decision = self._decided(ask, asked, moment)
        except ServiceError as refusal:
            self._counts.refused += 1
            self._writing.answer(asked, refusal)
        except Exception as bug:  # noqa: BLE001  (L13) a bug in the core is this command's end
            self.poison(command, letters.reason_of(bug), moment)
        else:
            if decision is not None:
                self._writing.record(command.record.key, decision, (ask,), moment)
                for reply in decision.replies:
                    named = Answer(reply.command_id, reply.outcome, reply.run_id)
                    self._writing.answer(asked, reply.body, named)

    def _carry(self, command: Command, asked: Asked, moment: Moment) -> None:
        """Send a command to the partition of its workflow id (L11)."""
        value = command.record.value or b""
        if len(value) > self._settings.carried_max_bytes:
            reason = f"a command of {len(value)} bytes is on the wrong partition (L11)"
            self._return(command, reason, moment)
            return
        self._counts.misrouted += 1
        carried = Decision([], [clients.carry(asked.fields, value, asked.place)], [], {})
        self._writing.write(command.record.key, carried, [], moment=moment)

    def _return(self, command: Command, reason: str, moment: Moment) -> None:
        """End a command that is none, whose client cannot be told: a dead letter (L13)."""
        letter = self._letter(command, reason, moment)
        decision = Decision([], [letter], [], {})
        self._writing.write(command.record.key, decision, [], moment=moment)

    def poison(self, command: Command, reason: str, moment: Moment) -> None:
        """End a command that cannot be decided: a dead letter, and INTERNAL to its caller."""
        command_id = command.wanted[0].command_id if command.wanted else b""
        effects = [self._letter(command, reason, moment), *self._told(command)]
        self._bury(command.record.key, effects, command_id, moment)
        if command.asked is not None:
            self._writing.answer(command.asked, clients.bug(), Answer(command_id, POISON, ""))

    def unreadable(self, topic: str, record: Record, error: Poison, moment: Moment) -> None:
        """End a record that is no command."""
        self.poison(Command(topic, record, ()), str(error), moment)

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
        ask = self._as_known(ask)
        try:
            decision = self._decided(ask, caller, moment)
        except ServiceError as refusal:
            self._writing.answer(caller, refusal)
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
            self._writing.record(self._key(ask), decision, (ask,), moment)
        for reply in decision.replies:
            if not reply.command_id or reply.command_id == ask.command_id:
                self._writing.answer(caller, reply.body)
                return
        self._writing.answer(caller, b"")

    def fire(self, ask: Ask, moment: Moment) -> None:
        """Decide what is due; raises Unwritable, and then it is not decided."""
        ask = self._as_known(ask)
        try:
            decision = self._decided(ask, b"", moment)
        except Stale:
            self._counts.stale += 1
        except Exception as bug:  # noqa: BLE001  (L13) it must not fire for ever
            self._counts.poison += 1
            self._quarantine(ask, letters.reason_of(bug), moment)
        else:
            if decision is not None:
                self._writing.record(self._key(ask), decision, (ask,), moment)

    def _quarantine(self, ask: Ask, reason: str, moment: Moment) -> None:
        """Have a due ask that raises tried no more; deletions are, by the next owner."""
        due = ask.request
        letter = letters.timer_letter(
            self._folded.partition, self._key(ask), reason=reason, at=moment.now
        )
        if not isinstance(due, FireDue):
            self._writing.record(self._key(ask), Decision([], [letter], [], {}), (), moment)
            return
        private = QuarantineDue(due.run_id, reason[-2_000:])
        quarantine = Ask("QuarantineDue", ask.namespace, ask.workflow_id, private)
        try:
            decision = self._folded.machine.decide(
                quarantine, now=moment.now, seed=moment.next_seed()
            )
        except Exception as bug:  # noqa: BLE001  (L13) the letter tells both
            letter.record["reason"] = f"{reason}\n{letters.reason_of(bug)}"
            decision = Decision([], [], [], {})
        decision.effects.append(letter)
        self._writing.record(self._key(ask), decision, (), moment)

    # -- what could not be written (L13, L14)

    def again(self, unwritten: Unwritten, moment: Moment) -> None:
        """Decide again what could not be written; everything before it is stored.

        Too large: as the termination Temporal prescribes. If that cannot be written either, or it
        was a bug, a dead letter is its end.
        """
        error, caller, command = unwritten
        if command is not None:
            self._writing.cover_command(command)
        told = self._told(command)
        self._folded.machine.forget()
        if error.is_bug:
            self._give_up(error, caller, told, moment)
            return
        self._counts.oversize += 1
        try:
            self._too_large(error.ask, caller, told, moment)
        except ServiceError as refusal:
            self._writing.answer(caller, refusal)
            if told:
                self._writing.write(
                    self._key(error.ask), Decision([], told, [], {}), [], moment=moment
                )
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
        self._writing.record(self._key(ask), decision, (ask,), moment)
        if not isinstance(caller, bytes):
            (reply,) = decision.replies
            self._writing.answer(caller, reply.body, Answer(b"", reply.outcome, reply.run_id))

    def _give_up(
        self, error: Unwritable, caller: Caller, told: list[Effect], moment: Moment
    ) -> None:
        key = self._key(error.ask)
        letter = letters.timer_letter(
            self._folded.partition, key, reason=error.reason, at=moment.now
        )
        self._bury(key, [letter, *told], caller, moment)

    # -- inside

    def _as_known(self, ask: Ask) -> Ask:
        """Return own work with all that is known of its namespace now (N1)."""
        known = self._namespaces.by_id(ask.namespace.id)
        if known is None or known is ask.namespace:
            return ask
        return replace(ask, namespace=replace(known, name=ask.namespace.name))

    def _decided(self, ask: Ask, caller: Caller, moment: Moment) -> Decision | None:
        """Decide an ask; None: it is a repeat, answered again (L12). Raises Rejected."""
        machine = self._folded.machine
        if ask.command_id:
            known = self._folded.answers.outcome(ask.command_id, self._folded.layers)
            if known is not None:
                self._counts.repeats += 1
                body = self._again(ask, known)
                self._writing.answer(caller, body, known)
                return None
        return machine.decide(ask, now=moment.now, seed=moment.next_seed())

    def _again(self, ask: Ask, known: Answer) -> ReplyBody:
        if known.outcome == POISON:
            return Internal("the command met a bug")
        return self._folded.machine.answer_again(ask, known.outcome, known.run_id)

    def _bury(
        self, key: bytes | None, effects: list[Effect], caller: Caller, moment: Moment
    ) -> None:
        self._counts.poison += 1
        answers = []
        if isinstance(caller, bytes) and caller:
            answers.append(Answer(caller, POISON, ""))
        self._writing.write(key, Decision([], effects, [], {}), answers, moment=moment)
        self._writing.answer(caller, clients.bug(), Answer(b"", POISON, ""))

    def _letter(self, command: Command, reason: str, moment: Moment) -> Effect:
        return letters.command_letter(
            (command.topic, self._folded.partition),
            command.record,
            reason=reason,
            at=moment.now,
            max_bytes=self._settings.letter_max_bytes,
        )

    def _key(self, ask: Ask) -> bytes | None:
        """Return the key of a record; one about several workflow ids has none."""
        return workflow_key(ask.namespace.name, ask.workflow_id) if ask.workflow_id else None
