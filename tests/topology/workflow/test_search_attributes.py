"""Search attributes and memo: set at the start, changed by the workflow, shown by Describe."""

import pytest

from schemas.errors import InvalidArgument
from schemas.temporal import command, common
from streams.attributes import SearchAttributes
from tests.support.core import Desk
from tests.support.core_scene import Scene, golden
from tests.support.core_words import complete, val, worker_command

CUSTOM = {"CustomKeywordField": 2}
NULL = common.Payload(metadata={"encoding": b"binary/null"})


@pytest.fixture(autouse=True)
def _checked(desk: Desk, scene: Scene) -> None:
    """The namespace has one custom attribute."""
    for each in (desk, scene):
        each.know_attributes(SearchAttributes(), CUSTOM)


def upsert(payload: common.Payload) -> command.Command:
    """Set the custom attribute, or unset it."""
    fields = {"indexed_fields": {"CustomKeywordField": payload}}
    return worker_command("upsert_workflow_search_attributes", search_attributes=fields)


def modify(**fields: common.Payload) -> command.Command:
    """Change the memo."""
    return worker_command("modify_workflow_properties", upserted_memo={"fields": fields})


def test_a_workflow_changes_them(scene: Scene) -> None:
    """Set, change and unset an attribute; the memo likewise; Describe after each."""
    scene.start(memo={"fields": {"keep": val(1), "drop": val(2)}})
    scene.step(upsert(val("one")), modify(drop=NULL, new=val(3)))
    scene.describe()
    scene.signal()
    scene.step(upsert(val("two")))
    scene.describe()
    scene.signal()
    scene.step(upsert(NULL), complete())
    scene.describe()
    scene.history()
    assert golden("upsert_search_attributes") == scene.record()


def test_unknown_names_and_wrong_types_are_refused(desk: Desk) -> None:
    """At the start with Temporal's texts; nothing is recorded."""
    fields = {"indexed_fields": {"NoSuchField": val("x")}}
    text = "Namespace default has no mapping defined for search attribute NoSuchField"
    with desk.refused(InvalidArgument, text):
        desk.start(search_attributes=fields)
    fields = {"indexed_fields": {"CustomKeywordField": val(1)}}
    text = "invalid value for search attribute CustomKeywordField of type Keyword: 1"
    with desk.refused(InvalidArgument, text):
        desk.start(search_attributes=fields)


def test_a_bad_upsert_fails_the_task(desk: Desk) -> None:
    """And nothing else of the completion happened."""
    desk.start()
    with pytest.raises(InvalidArgument, match=r"^BadSearchAttributes: invalid value"):
        desk.step(upsert(val("one")), upsert(val(1)))
    assert not desk.described().workflow_execution_info.search_attributes.indexed_fields
