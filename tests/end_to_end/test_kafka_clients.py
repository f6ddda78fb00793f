"""Kafka clients beside gRPC ones: asked, replied to, refused, and what stops nobody."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from schemas.errors import Code
from schemas.ids import workflow_partition
from schemas.temporal import enums
from tests.end_to_end.asking import PARTITIONS, Asker, payload, wrong_partition
from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Collect, LeaveToOthers
from tests.support.millrace_server import PROJECT, MillraceServer

STARTED = enums.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
CANCEL_REQUESTED = enums.PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED


@pytest.fixture
def asker(server: MillraceServer) -> Iterator[Asker]:
    """Yield a plain Kafka client."""
    with Asker(server.kafka_address) as made:
        yield made


def _start(queue: str, workflow_type: str = "Collect") -> dict[str, object]:
    return {"workflow_type": workflow_type, "task_queue": queue}


async def test_a_workflow_lives_by_kafka_alone(client: Client, asker: Asker) -> None:
    """Started and signalled by records; its result is read by an SDK."""
    async with working(client) as queue:
        workflow_id = fresh("kafka")
        asked = [
            asker.ask(workflow_id, "StartWorkflow", _start(queue)),
            asker.ask(
                workflow_id, "SignalWorkflow", {"signal_name": "add", "input": [payload("a")]}
            ),
            asker.ask(
                workflow_id,
                "SignalWithStart",
                {"start": _start(queue), "signal_name": "add", "signal_input": [payload("b")]},
            ),
            asker.ask(workflow_id, "SignalWorkflow", {"signal_name": "end"}),
        ]
        replies = await asker.replies(*asked)
        assert [each["code"] for each in replies] == [Code.OK] * 4
        assert [each["outcome"] for each in replies] == ["started", "done", "signaled", "done"]
        assert await client.get_workflow_handle(workflow_id).result() == ["a", "b"]


async def test_repeats_are_harmless(client: Client, asker: Asker) -> None:
    """The same request ids again: one run, one signal."""
    async with working(client) as queue:
        workflow_id = fresh("repeated")
        for _ in range(3):
            asker.ask(workflow_id, "StartWorkflow", _start(queue), request_id=f"s-{workflow_id}")
            signal = {"signal_name": "add", "input": [payload("a")]}
            asker.ask(workflow_id, "SignalWorkflow", signal, request_id=f"a-{workflow_id}")
        last = asker.ask(workflow_id, "SignalWorkflow", {"signal_name": "end"})
        await asker.replies(last)
        assert await client.get_workflow_handle(workflow_id).result() == ["a"]


async def test_cancel_and_terminate(client: Client, asker: Asker) -> None:
    """As over gRPC; a second time is refused with Temporal's words."""
    first, second = fresh("ended"), fresh("ended")
    for each in (first, second):
        asker.ask(each, "StartWorkflow", _start("nobody"))
    asked = [
        asker.ask(first, "TerminateWorkflow", {"reason": "enough"}),
        asker.ask(second, "CancelWorkflow", {"reason": "enough"}),
        asker.ask(first, "TerminateWorkflow", {"reason": "enough"}),
    ]
    done, cancelled, refused = await asker.replies(*asked)
    assert (done["code"], cancelled["code"]) == (Code.OK, Code.OK)
    assert refused["code"] == Code.NOT_FOUND
    assert refused["message"] == "workflow execution already completed"
    described = await client.get_workflow_handle(first).describe()
    assert described.status is not None
    assert described.status.name == "TERMINATED"


async def test_activities_end_by_their_ids(client: Client, asker: Asker) -> None:
    """Completed, failed, beating and cancelled by records of whoever knows the ids."""
    by_hand = {"activity_id": "by-hand"}
    async with working(client) as queue:
        handles = [await _started_by_hand(client, queue) for _ in range(3)]
        completed, failed, cancelled = (handle.id for handle in handles)
        canceled = by_hand | {"message": "", "canceled": True}
        asked = [
            asker.ask(completed, "HeartbeatActivity", by_hand | {"details": [payload("half")]}),
            asker.ask(completed, "CompleteActivity", by_hand | {"result": [payload("done")]}),
            asker.ask(failed, "FailActivity", by_hand | {"message": "no", "type": "Oh"}),
            asker.ask(cancelled, "FailActivity", canceled),
            asker.ask(completed, "CompleteActivity", by_hand),
        ]
        replies = await asker.replies(*asked)
        assert [each["code"] for each in replies[:3]] == [Code.OK] * 3
        assert replies[3]["code"] == Code.INVALID_ARGUMENT
        assert "without activity being request canceled first" in replies[3]["message"]
        assert replies[4]["code"] == Code.NOT_FOUND
        assert await handles[0].result() == "done"
        assert await handles[1].result() == "ApplicationError: Oh: no"
        await handles[2].cancel()
        await until(lambda: _is_pending(handles[2], CANCEL_REQUESTED), "the activity hears of it")
        beat = asker.ask(cancelled, "HeartbeatActivity", by_hand)
        end = asker.ask(cancelled, "FailActivity", canceled | {"details": [payload("undone")]})
        told, ended = await asker.replies(beat, end)
        assert (told["outcome"], ended["code"]) == ("cancel_requested", Code.OK)
        assert (await handles[2].result()).startswith("CancelledError")


async def _started_by_hand(client: Client, queue: str) -> WorkflowHandle[Any, str]:
    handle = await client.start_workflow(LeaveToOthers.run, id=fresh("by-hand"), task_queue=queue)
    await until(lambda: _is_pending(handle, STARTED), "a worker has the activity")
    return handle


async def _is_pending(handle: WorkflowHandle[Any, Any], state: int) -> bool:
    described = await handle.describe()
    return any(each.state == state for each in described.raw_description.pending_activities)


async def test_l11_a_record_on_the_wrong_partition(client: Client, asker: Asker) -> None:
    """It is executed where it belongs, once."""
    workflow_id = fresh("astray")
    astray = wrong_partition(workflow_id)
    asked = asker.ask(workflow_id, "StartWorkflow", _start("nobody"), partition=astray)
    (reply,) = await asker.replies(asked)
    assert (reply["outcome"], reply["partition"]) == ("started", astray)
    described = await client.get_workflow_handle(workflow_id).describe()
    assert described.run_id == reply["run_id"]


async def test_what_is_no_command_stops_nothing(server: MillraceServer, asker: Asker) -> None:
    """Nothing, rubbish, a key that is no text, an input that is too large."""
    workflow_id = fresh("behind")
    home = workflow_partition("default", workflow_id, PARTITIONS)
    asker.send(None, None, partition=home)
    asker.send(b"\xff\xfe", b"rubbish\xff", partition=home)
    asker.send(b"", b"", partition=home)
    large = {**_start("nobody"), "input": [payload("x" * (3 << 20))]}
    refused = asker.ask(workflow_id, "StartWorkflow", large)
    asked = asker.ask(workflow_id, "StartWorkflow", _start("nobody"))
    too_large, started = await asker.replies(refused, asked)
    assert started["code"] == Code.OK
    assert too_large["code"] == Code.INVALID_ARGUMENT
    assert too_large["message"] == "Blob data size exceeds limit."
    listed = await _millrace(server, "dead-letters", "list")
    mine = [line for line in listed if f"commands-{home}@{started['offset'] - 3}" in line]
    assert "expected Avro single-object encoding, found 7275626269736" in mine[0]
    shown = await _millrace(server, "dead-letters", "show", mine[0].split()[0])
    assert f"stood at   commands-{home}, offset {started['offset'] - 3}" in shown


async def test_l10_an_open_transaction_delays_nobodys_grpc(
    client: Client, server: MillraceServer, asker: Asker
) -> None:
    """What stands behind it on `commands` waits, and an aborted one is not executed."""
    names = (fresh("tx") for _ in range(1_000))
    home = workflow_partition("default", first := next(names), PARTITIONS)
    mine = (name for name in names if workflow_partition("default", name, PARTITIONS) == home)
    with Asker(server.kafka_address, is_transactional=True) as transactional:
        transactional.producer.begin_transaction()
        aborted = transactional.ask(first, "StartWorkflow", _start("nobody"))
        await asyncio.to_thread(transactional.producer.flush, 10)
        behind = asker.ask(next(mine), "StartWorkflow", _start("nobody"))
        await asyncio.to_thread(asker.producer.flush, 10)
        over_grpc = next(mine)
        async with asyncio.timeout(10):
            await client.start_workflow("Collect", id=over_grpc, task_queue="nobody")
            await client.get_workflow_handle(over_grpc).describe()
        assert not asker.is_replied(behind)
        await asyncio.to_thread(transactional.producer.abort_transaction, 30)
        (reply,) = await asker.replies(behind)
        assert reply["outcome"] == "started"
        transactional.producer.begin_transaction()
        committed = transactional.ask(next(mine), "StartWorkflow", _start("nobody"))
        await asyncio.to_thread(transactional.producer.commit_transaction, 30)
        (reply,) = await asker.replies(committed)
        assert reply["outcome"] == "started"
    assert not asker.is_replied(aborted)
    again = asker.ask(first, "StartWorkflow", _start("nobody"))
    (reply,) = await asker.replies(again)
    assert reply["outcome"] == "started"


async def test_tail_shows_one_workflow(client: Client, server: MillraceServer) -> None:
    """What was asked of it, and what happened."""
    workflow_id = fresh("watched")
    await client.start_workflow("Collect", id=workflow_id, task_queue="nobody")
    await client.get_workflow_handle(workflow_id).signal(Collect.end)
    lines = await _millrace(
        server, "tail", "--workflow-id", workflow_id, "--from-beginning", "--no-follow"
    )
    assert all(workflow_id in line for line in lines)
    told = [" ".join(line.split()[2:]) for line in lines]
    started = [line for line in told if line.startswith(f"{workflow_id} 1 WorkflowExecutionStart")]
    assert len(started) == 1
    asked = [line for line in told if line.startswith(f"default/{workflow_id} Signal")]
    assert len(asked) == 1


async def _millrace(server: MillraceServer, *arguments: str) -> list[str]:
    """Run a command of `millrace` on the server's Kafka; return its lines."""
    line = [sys.executable, "-m", "infra.cli", *arguments, "--kafka", server.kafka_address]
    ended = await asyncio.to_thread(
        subprocess.run, line, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_where_kafka_is_must_be_said() -> None:
    """One clear sentence."""
    line = [sys.executable, "-m", "infra.cli", "tail"]
    ended = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Which Kafka? Give --kafka HOST:PORT")
