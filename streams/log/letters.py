"""Dead letters (L13): what could not be decided, and why. Nothing is dropped silently."""

import traceback

from streams.log.ports import Record
from topology.effects import LetterDead

_NOT_REPEATED = "(the value is not repeated here: it is {} bytes long)"


def command_letter(
    where: tuple[str, int], record: Record, *, reason: str, at: int, max_bytes: int
) -> LetterDead:
    """Return the letter of a command; `where` is its topic and partition."""
    value = record.value
    if value is not None and len(value) > max_bytes:
        reason = f"{reason}\n{_NOT_REPEATED.format(len(value))}"
        value = None
    return LetterDead(
        {
            "topic": where[0],
            "partition": where[1],
            "offset": record.offset,
            "key": record.key,
            "value": value,
            "reason": reason,
            "at": at,
        }
    )


def timer_letter(partition: int, key: bytes | None, *, reason: str, at: int) -> LetterDead:
    """Return the letter of a due timer that could not even be put in quarantine."""
    record = Record(-1, key, None, 0)
    return command_letter(("", partition), record, reason=reason, at=at, max_bytes=0)


def reason_of(error: BaseException) -> str:
    """Return what happened, with its traceback."""
    return "".join(traceback.format_exception(error))
