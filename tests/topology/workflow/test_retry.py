"""Backoff and expiry arithmetic."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.instants import SECOND, duration_of
from schemas.temporal import common, enums, failure
from tests.support.core_words import failed, sec
from topology.workflow import failures, retry
from topology.workflow.retry import Chain, RetryPolicy, Verdict

POLICY = RetryPolicy(SECOND, 2.0, 100 * SECOND, 0)
_Timeout = enums.TimeoutType


def test_defaults() -> None:
    """One second, doubled, at most a hundred times as long, for ever."""
    policy = retry.policy_of(retry.with_defaults(common.RetryPolicy()))
    assert policy == POLICY


def test_the_maximum_follows_the_initial_interval() -> None:
    """A hundred times what was given."""
    given_policy = common.RetryPolicy(initial_interval=sec(3))
    assert retry.policy_of(retry.with_defaults(given_policy)).maximum_interval == 300 * SECOND


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (7, 64), (8, 100), (10**9, 100)])
def test_backoff(attempt: int, seconds: int) -> None:
    """It doubles until its maximum, however many attempts there were."""
    verdict = retry.after_failure(POLICY, None, Chain(attempt, 0, 0))
    assert verdict == Verdict(retry.IN_PROGRESS, seconds * SECOND)


def test_the_failure_may_ask_for_a_delay() -> None:
    """It takes the place of the computed one, within the maximum."""
    for asked, given_back in ((40, 40), (400, 100), (0, 100)):
        late = failed(next_retry_delay=sec(asked))
        verdict = retry.after_failure(POLICY, late, Chain(1, 0, 0))
        assert verdict.delay == given_back * SECOND


def test_maximum_attempts() -> None:
    """The first attempt counts."""
    policy = RetryPolicy(SECOND, 2.0, 100 * SECOND, 2)
    assert retry.after_failure(policy, None, Chain(1, 0, 0)).state == retry.IN_PROGRESS
    assert retry.after_failure(policy, None, Chain(2, 0, 0)) == Verdict(
        retry.MAXIMUM_ATTEMPTS_REACHED
    )


def test_no_attempt_begins_after_the_expiry() -> None:
    """At the instant it still may."""
    assert retry.after_failure(POLICY, None, Chain(1, 5, SECOND + 5)).state == retry.IN_PROGRESS
    assert retry.after_failure(POLICY, None, Chain(1, 6, SECOND + 5)) == Verdict(retry.TIMEOUT)


@pytest.mark.parametrize(
    ("late", "types", "is_retryable"),
    [
        (failed(), (), True),
        (failed(kind="Fatal"), ("Fatal",), False),
        (failed(is_final=True), (), False),
        (failures.of_server("x", is_final=False), (), True),
        (failures.of_server("x", is_final=True), (), False),
        (failures.timed_out(_Timeout.TIMEOUT_TYPE_HEARTBEAT), (), True),
        (failures.timed_out(_Timeout.TIMEOUT_TYPE_START_TO_CLOSE), (), True),
        (failures.timed_out(_Timeout.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE), (), False),
        (
            failures.timed_out(_Timeout.TIMEOUT_TYPE_HEARTBEAT),
            ("TemporalTimeout:Heartbeat",),
            False,
        ),
        (failure.Failure(canceled_failure_info=failure.CanceledFailureInfo()), (), False),
        (failure.Failure(terminated_failure_info=failure.TerminatedFailureInfo()), (), False),
        (failure.Failure(message="no kind"), (), True),
    ],
)
def test_what_is_retryable(
    late: failure.Failure, types: tuple[str, ...], *, is_retryable: bool
) -> None:
    """By kind of failure, its own flag, and the policy's list."""
    assert retry.is_retryable(late, types) is is_retryable


@pytest.mark.parametrize(
    ("fields", "flaw"),
    [
        ({}, ""),
        ({"maximum_attempts": 1, "backoff_coefficient": 0.5}, ""),
        (
            {"initial_interval": sec(-1)},
            "invalid InitialInterval set on retry policy: negative duration",
        ),
        (
            {"backoff_coefficient": 0.9},
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            {"maximum_interval": sec(-1)},
            "invalid MaximumInterval set on retry policy: negative duration",
        ),
        (
            {"initial_interval": sec(3), "maximum_interval": sec(2)},
            "MaximumInterval cannot be less than InitialInterval on retry policy.",
        ),
        ({"maximum_attempts": -1}, "MaximumAttempts cannot be negative on retry policy."),
        (
            {"non_retryable_error_types": ["TemporalTimeout:Never"]},
            "Invalid timeout type value: Never.",
        ),
        ({"non_retryable_error_types": ["TemporalTimeout:Heartbeat", "Mine"]}, ""),
    ],
)
def test_flaws(fields: dict[str, object], flaw: str) -> None:
    """What is wrong with a policy, in Temporal's words."""
    policy = retry.with_defaults(common.RetryPolicy(**fields))  # type: ignore[arg-type]
    assert retry.flaw_of(policy) == flaw


def test_a_policy_beyond_measure_is_capped() -> None:
    """Instants stay in 64 bits."""
    policy = retry.with_defaults(common.RetryPolicy(initial_interval=duration_of(10**20)))
    assert retry.policy_of(policy).maximum_interval == retry.SPAN_MAX


@given(
    initial=st.integers(1, 10**12),
    coefficient=st.floats(1, 100),
    attempt=st.integers(1, 10**6),
    maximum=st.integers(1, 10**13),
)
def test_no_delay_leaves_its_bounds(
    initial: int, coefficient: float, attempt: int, maximum: int
) -> None:
    """Always positive, never above the maximum."""
    policy = RetryPolicy(initial, coefficient, maximum, 0)
    verdict = retry.after_failure(policy, None, Chain(attempt, 0, 0))
    assert 0 < verdict.delay <= maximum


@settings(deadline=None)
@given(st.text(), st.text(), st.integers(0, 200_000))
def test_a_kept_failure_fits(message: str, kind: str, repeats: int) -> None:
    """What a row keeps of a failure is at most about 4 KiB, and has its cause's type."""
    late = failed(message * repeats, kind[:20])
    kept = failures.within_row(late)
    assert kept.ByteSize() <= 4 * 1024
    if kept is not late:
        assert kept.message == "Failure exceeds size limit."
        assert kept.cause.application_failure_info.type == kind[:20]
