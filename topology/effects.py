"""What a decision causes outside its partition: the closed union of effects.

An effect is named by what caused it, so performing it twice is harmless (L15). It stands in the
transition that caused it as (kind, MessagePack) and is performed once that record is accepted.
Who performs it lives in `streams/log/outbox.py`.
"""

from typing import Literal

import msgspec

TaskKind = Literal["workflow", "activity"]


class OfferTask(msgspec.Struct, frozen=True, tag="offer_task"):
    """Offer work to the workers of a task queue (L18, M1)."""

    namespace_id: str
    namespace: str
    queue: str
    kind: TaskKind
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    attempt: int
    stamp: int
    scheduled_at: int  # ns
    expires_at: int  # ns; 0: never
    priority: int = 0
    is_sticky: bool = False  # the queue is one worker's own
    normal_queue: str = ""  # where it goes when that worker is gone (M3)


class ProjectNamespace(msgspec.Struct, frozen=True, tag="project_namespace"):
    """Publish a version of a namespace on `namespaces` (N1); the record's Avro fields."""

    record: dict[str, object]


class LetterDead(msgspec.Struct, frozen=True, tag="dead_letter"):
    """Put a command that could not be decided on `dead-letters` (L13); the Avro fields."""

    record: dict[str, object]


class Quote(msgspec.Struct, frozen=True):
    """A history event by where it stands: payloads are not copied into effects (L14)."""

    run_id: str
    batch_id: int
    event_id: int


class Forward(msgspec.Struct, frozen=True, tag="forward"):
    """Ask another workflow id for something, in order and exactly once (L16).

    `receiver` and `counter` are the engine's; `request` is the MessagePack of a struct of
    `topology/forwards.py`, and `quote` names the event that travels with it.
    """

    namespace: str
    workflow_id: str
    method: str
    request: bytes
    quote: Quote | None = None
    receiver: int = -1
    counter: int = 0


Effect = OfferTask | ProjectNamespace | LetterDead | Forward

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Effect)


def effect_fields(effect: Effect) -> dict[str, object]:
    """Return the Avro fields of an effect."""
    return {"kind": type(effect).__struct_config__.tag, "body": _encoder.encode(effect)}


def effect_of(body: bytes) -> Effect:
    """Read an effect's body."""
    effect: Effect = _decoder.decode(body)
    return effect
