"""Retry: when a failed attempt is followed by another one, and after how long.

Arithmetic of activities and of workflow runs. Who records what came of it does not live here.
"""

from typing import Final, NamedTuple

import msgspec

from schemas.instants import DAY, SECOND, duration_of, span_of
from schemas.temporal import common, enums, failure

INITIAL_INTERVAL: Final = 1 * SECOND
BACKOFF_COEFFICIENT: Final = 2.0
MAXIMUM_INTERVAL_FACTOR: Final = 100
TIMEOUT_TYPE_PREFIX: Final = "TemporalTimeout:"
SPAN_MAX: Final = 36_525 * DAY
"""No span is longer than a hundred years, so that instants stay in 64 bits."""

_State = enums.RetryState
_Timeout = enums.TimeoutType

IN_PROGRESS: Final = _State.RETRY_STATE_IN_PROGRESS
TIMEOUT: Final = _State.RETRY_STATE_TIMEOUT
CANCEL_REQUESTED: Final = _State.RETRY_STATE_CANCEL_REQUESTED
NON_RETRYABLE_FAILURE: Final = _State.RETRY_STATE_NON_RETRYABLE_FAILURE
MAXIMUM_ATTEMPTS_REACHED: Final = _State.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED


class RetryPolicy(msgspec.Struct, frozen=True, array_like=True):
    """A retry policy with its defaults filled in, as rows keep it."""

    initial_interval: int
    backoff_coefficient: float
    maximum_interval: int
    maximum_attempts: int  # 0: unlimited
    non_retryable_types: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """What follows a failed attempt: another one after `delay`, or (any other state) none."""

    state: int  # temporal.api.enums.v1.RetryState
    delay: int = 0


class Chain(NamedTuple):
    """How far a chain of attempts is: the failed attempt, when, and when its time is over."""

    attempt: int
    failed_at: int
    expires_at: int  # 0: never


def with_defaults(given: common.RetryPolicy) -> common.RetryPolicy:
    """Return a policy whose unset fields have Temporal's defaults."""
    policy = common.RetryPolicy()
    policy.CopyFrom(given)
    initial = span_of(given.initial_interval) or INITIAL_INTERVAL
    policy.initial_interval.CopyFrom(duration_of(initial))
    if not span_of(given.maximum_interval):
        policy.maximum_interval.CopyFrom(duration_of(initial * MAXIMUM_INTERVAL_FACTOR))
    policy.backoff_coefficient = given.backoff_coefficient or BACKOFF_COEFFICIENT
    return policy


def flaw_of(policy: common.RetryPolicy) -> str:
    """Return what is wrong with a policy that has its defaults, in Temporal's words; or ""."""
    if policy.maximum_attempts == 1:
        return ""  # no retries: the rest does not matter
    if flaw := _flaw_of_intervals(policy):
        return flaw
    if policy.maximum_attempts < 0:
        return "MaximumAttempts cannot be negative on retry policy."
    for each in policy.non_retryable_error_types:
        name = each.removeprefix(TIMEOUT_TYPE_PREFIX)
        if name != each and name not in _TIMEOUT_NAMES.values():
            return f"Invalid timeout type value: {name}."
    return ""


def policy_of(policy: common.RetryPolicy) -> RetryPolicy:
    """Return the row's form of a policy that has its defaults."""
    return RetryPolicy(
        initial_interval=min(span_of(policy.initial_interval), SPAN_MAX),
        backoff_coefficient=policy.backoff_coefficient,
        maximum_interval=min(span_of(policy.maximum_interval), SPAN_MAX),
        maximum_attempts=policy.maximum_attempts,
        non_retryable_types=tuple(policy.non_retryable_error_types),
    )


def interval_of(policy: RetryPolicy, attempt: int) -> int:
    """Return the backoff behind an attempt, before it is capped; 0: beyond measure."""
    try:
        interval = policy.initial_interval * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        return 0
    return int(interval) if interval <= SPAN_MAX else 0


def after_failure(policy: RetryPolicy, failed: failure.Failure | None, chain: Chain) -> Verdict:
    """Tell what follows an attempt that failed.

    A delay that the failure itself asks for takes the place of the computed one.
    """
    if failed is not None and not is_retryable(failed, policy.non_retryable_types):
        return Verdict(NON_RETRYABLE_FAILURE)
    if 0 < policy.maximum_attempts <= chain.attempt:
        return Verdict(MAXIMUM_ATTEMPTS_REACHED)
    delay = _asked_delay(failed)
    if delay is None:
        delay = interval_of(policy, chain.attempt)
    if not 0 < delay <= policy.maximum_interval:
        delay = policy.maximum_interval
    if chain.expires_at and chain.failed_at + delay > chain.expires_at:
        return Verdict(TIMEOUT)
    return Verdict(IN_PROGRESS, delay)


def is_retryable(failed: failure.Failure, non_retryable_types: tuple[str, ...]) -> bool:
    """Whether another attempt could succeed where this one failed."""
    match failed.WhichOneof("failure_info"):
        case "terminated_failure_info" | "canceled_failure_info":
            return False
        case "timeout_failure_info":
            name = _TIMEOUT_NAMES.get(failed.timeout_failure_info.timeout_type, "")
            if name not in _RETRYABLE_TIMEOUTS:
                return False
            return TIMEOUT_TYPE_PREFIX + name not in non_retryable_types
        case "server_failure_info":
            return not failed.server_failure_info.non_retryable
        case "application_failure_info":
            told = failed.application_failure_info
            return not told.non_retryable and told.type not in non_retryable_types
        case _:
            return True


def timeout_name(timeout_type: int) -> str:
    """Return a timeout type as Temporal writes it in texts: `StartToClose`."""
    return _TIMEOUT_NAMES[timeout_type]


def _flaw_of_intervals(policy: common.RetryPolicy) -> str:
    initial, maximum = span_of(policy.initial_interval), span_of(policy.maximum_interval)
    if initial < 0:
        return "invalid InitialInterval set on retry policy: negative duration"
    if policy.backoff_coefficient < 1:
        return "BackoffCoefficient cannot be less than 1 on retry policy."
    if maximum < 0:
        return "invalid MaximumInterval set on retry policy: negative duration"
    if 0 < maximum < initial:
        return "MaximumInterval cannot be less than InitialInterval on retry policy."
    return ""


def _asked_delay(failed: failure.Failure | None) -> int | None:
    if failed is None or not failed.HasField("application_failure_info"):
        return None
    told = failed.application_failure_info
    return span_of(told.next_retry_delay) if told.HasField("next_retry_delay") else None


_TIMEOUT_NAMES: dict[int, str] = {
    _Timeout.TIMEOUT_TYPE_START_TO_CLOSE: "StartToClose",
    _Timeout.TIMEOUT_TYPE_SCHEDULE_TO_START: "ScheduleToStart",
    _Timeout.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "ScheduleToClose",
    _Timeout.TIMEOUT_TYPE_HEARTBEAT: "Heartbeat",
}
_RETRYABLE_TIMEOUTS = frozenset({"StartToClose", "Heartbeat"})
