"""Archives that Temporal wrote are read, and ours have its names and its JSON.

The samples are written out by hand from Temporal's layouts: raw ids in names, older enum values.
"""

import json
from pathlib import Path

import pytest

from archival.archive import Archive
from archival.archiver import Archiver
from archival.layout import history_file, history_folders, record_file, record_objects
from archival.record import parse_record, record_of, to_text
from archival.run import RunKey
from archival.transfer import Progress, copy, index, verify
from schemas.temporal import enums
from tests.archival.conftest import Opened
from tests.archival.runs import closed_run, key_of

KEY = RunKey("ns", "order/1 a", "7bd4b1c9-0000-4000-8000-000000000001")
EVENTS = [
    {
        "eventId": "1",
        "eventTime": "2020-01-21T16:16:11.123456Z",
        "eventType": "WorkflowExecutionStarted",
        "taskId": "1048576",
        "workflowExecutionStartedEventAttributes": {
            "workflowType": {"name": "order"},
            "taskQueue": {"name": "q", "kind": "Normal"},
            "input": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]},
        },
    },
    {
        "eventId": "2",
        "eventTime": "2020-01-21T16:17:11Z",
        "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED",
        "taskId": "1048577",
        "workflowExecutionTerminatedEventAttributes": {"reason": "test", "identity": "me"},
    },
]
RECORD = {
    "namespaceId": KEY.namespace_id,
    "namespace": "shop",
    "workflowId": KEY.workflow_id,
    "runId": KEY.run_id,
    "workflowTypeName": "order",
    "startTime": "2020-01-21T16:16:11.123456Z",
    "executionTime": "2020-01-21T16:16:11.123456Z",
    "closeTime": "2020-01-21T16:17:11Z",
    "status": "WORKFLOW_EXECUTION_STATUS_TERMINATED",
    "historyLength": "2",
    "searchAttributes": {"CustomerId": "c-7", "Amount": "12.5", "Tags": '["a","b"]'},
    "historyArchivalUri": "s3://bucket",
}
TYPES = {"CustomerId": 2, "Amount": 4, "Tags": 7}


def blob(events: list[object], number: int, *, is_last: bool) -> bytes:
    """Return a blob as Temporal's S3 archiver writes it."""
    header = {
        "namespace": "shop",
        "namespaceId": KEY.namespace_id,
        "workflowId": KEY.workflow_id,
        "runId": KEY.run_id,
        "firstEventId": str(number + 1),
        "lastEventId": str(number + 1),
        "eventCount": "1",
    }
    if is_last:
        header["isLast"] = True  # type: ignore[assignment]  # JSON
    return json.dumps({"header": header, "body": [{"events": events}]}).encode()


def temporal_s3(archive: Archive) -> None:
    """Write what Temporal's S3 archiver would have, ids raw."""
    folder = f"ns/history/{KEY.workflow_id}/{KEY.run_id}/0"
    for number, event in enumerate(EVENTS):
        body = blob([event], number, is_last=number == len(EVENTS) - 1)
        archive.store.put_new(f"{folder}/{number}", [body])
    text = json.dumps(RECORD).encode()
    for by in ("workflowTypeName/order", f"workflowID/{KEY.workflow_id}"):
        for when in ("closeTimeout/2020-01-21T16:17:11Z", "startTimeout/2020-01-21T16:16:11Z"):
            archive.store.put_new(f"ns/visibility/{by}/{when}/{KEY.run_id}", [text])


def temporal_files(archive: Archive) -> None:
    """Write what Temporal's file archiver would have: one line, names of hashes."""
    batches = json.dumps([{"events": [event]} for event in EVENTS]).encode()
    archive.store.put_new(history_file(KEY, 0), [batches])
    record = parse_record(json.dumps(RECORD).encode())
    archive.store.put_new(record_file(record), [json.dumps(RECORD).encode()])


@pytest.fixture
def existing(archive: Archive) -> Archive:
    """An archive of Temporal's."""
    if archive.uri.scheme == "file":
        temporal_files(archive)
    else:
        temporal_s3(archive)
    return archive


def test_existing_archives_are_read(existing: Archive) -> None:
    """History and record, by their ids alone."""
    events = [event for batch in existing.history(KEY) for event in batch.events]
    assert [1, 2] == [event.event_id for event in events]
    assert "order" == events[0].workflow_execution_started_event_attributes.workflow_type.name
    execution = existing.describe(KEY, TYPES).execution
    assert enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED == execution.status
    attributes = execution.search_attributes.indexed_fields
    assert (b'"c-7"', b"Keyword") == (
        attributes["CustomerId"].data,
        attributes["CustomerId"].metadata["type"],
    )
    assert (b"12.5", b'["a","b"]') == (attributes["Amount"].data, attributes["Tags"].data)


def test_existing_archives_become_searchable_where_they_lie(existing: Archive) -> None:
    """And verified; going on from any token, or again, doubles nothing."""
    reports: list[Progress] = []
    for _ in range(2):
        assert 1 == index(existing, "ns", reports.append, types=TYPES)
    assert 0 == index(existing, "ns", reports.append, token=reports[0].token)
    (row,) = existing.lake("ns").rows()
    assert ("order", "Terminated", 2) == (row.workflow_type, row.status, row.history_length)
    assert {"CustomerId": "c-7", "Amount": "12.5", "Tags": '["a","b"]'} == row.search_attributes
    assert 1 == verify(existing, "ns", reports.append)
    assert [] == [trouble for one in reports for trouble in one.troubles]


def test_the_names_of_files_are_temporals() -> None:
    """Fingerprints one behind the other, and the version; close time and run."""
    record = record_of(closed_run(), "")
    assert history_file(key_of(), 0).endswith("_0.history")
    assert f"ns/{record.closed_at}_" in record_file(record)
    assert 3 == len(record_file(record).rpartition("/")[2].replace("_", ".").split("."))


def test_the_names_of_objects_are_temporals() -> None:
    """Raw ids where they are safe, times in seconds, four copies of a record."""
    key = key_of("order 1")
    assert (f"ns/history/order 1/{key.run_id}/",) == history_folders(key)
    record = record_of(closed_run(key), "")
    assert {
        f"ns/visibility/workflowID/order 1/closeTimeout/2026-02-02T02:41:00Z/{key.run_id}",
        f"ns/visibility/workflowID/order 1/startTimeout/2026-02-02T02:40:00Z/{key.run_id}",
        f"ns/visibility/workflowTypeName/order/closeTimeout/2026-02-02T02:41:00Z/{key.run_id}",
        f"ns/visibility/workflowTypeName/order/startTimeout/2026-02-02T02:40:00Z/{key.run_id}",
    } == set(record_objects(record))


def test_the_json_of_a_record_is_temporals() -> None:
    """Only fields that Temporal's message has, in protobuf's JSON."""
    record = record_of(closed_run(), "s3://bucket")
    assert {
        "namespaceId": "ns",
        "namespace": "shop",
        "workflowId": "order-1",
        "runId": key_of().run_id,
        "workflowTypeName": "order",
        "startTime": "2026-02-02T02:40:00Z",
        "executionTime": "2026-02-02T02:40:00Z",
        "closeTime": "2026-02-02T02:41:00.123456789Z",
        "status": "WORKFLOW_EXECUTION_STATUS_COMPLETED",
        "historyLength": "12",
        "memo": {"fields": {"note": {"data": "Im1lbW8i"}}},
        "searchAttributes": {"CustomerId": "c-7"},
        "historyArchivalUri": "s3://bucket",
        "executionDuration": "60s",
    } == json.loads(to_text(record))


def test_the_json_of_a_blob_is_temporals(opened_s3: Opened) -> None:
    """Header and body; zero and false are left out."""
    archive = opened_s3()
    run = closed_run(events=3)
    archive.archive_history(run)
    (name,) = [one.key for one in archive.store.list("ns/history/")]
    found = json.loads(archive.store.get(name))
    assert f"ns/history/order-1/{run.key.run_id}/0/0" == name
    assert {
        "namespace": "shop",
        "namespaceId": "ns",
        "workflowId": "order-1",
        "runId": run.key.run_id,
        "isLast": True,
        "firstEventId": "1",
        "lastEventId": "3",
        "eventCount": "3",
    } == found["header"]
    assert ["1", "2", "3"] == [
        event["eventId"] for batch in found["body"] for event in batch["events"]
    ]
    archive.close()


def test_copies_are_whole_and_verified(opened_files: Opened, opened_s3: Opened) -> None:
    """From a folder to a bucket and back, page by page."""
    files, s3 = opened_files(), opened_s3()
    archiver = Archiver(files, files)
    runs = [closed_run(key_of(f"wf/{number}", number), events=21) for number in range(5)]
    archiver.archive_all(runs)
    reports: list[Progress] = []
    assert 5 == copy(files, s3, "ns", reports.append)
    assert 5 == copy(files, s3, "ns", reports.append)
    assert 5 == verify(s3, "ns", reports.append)
    assert [] == [trouble for one in reports for trouble in one.troubles]
    for run in runs:
        assert list(run.batches) == list(s3.history(run.key))
    for each in (archiver, files, s3):
        each.close()


def test_verification_finds_what_was_changed(opened_files: Opened, tmp_path: Path) -> None:
    """A flipped byte, a missing file, a record gone."""
    archive = opened_files()
    archiver = Archiver(archive, archive)
    runs = [closed_run(key_of(number=number), closed_after=60 + number) for number in range(4)]
    archiver.archive_all(runs)
    names = [history_file(run.key, 0) for run in runs]
    changed = tmp_path / "archive" / names[0]
    changed.write_bytes(changed.read_bytes().replace(b"marker-3", b"marker-4"))
    archive.store.delete([names[1], record_file(archive.describe(runs[2].key))])
    reports: list[Progress] = []
    assert 4 == verify(archive, "ns", reports.append)
    found = {one.key.run_id: one.reason for report in reports for one in report.troubles}
    assert {run.key.run_id for run in runs[:3]} == set(found)
    assert "expected another checksum" in found[runs[0].key.run_id]
    archiver.close()
    archive.close()
