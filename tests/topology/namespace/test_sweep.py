"""A partition removes what it has of a deleted namespace, and nothing else."""

from msgspec.structs import replace

from schemas.errors import NamespaceNotFound
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import activity, complete, timer
from topology.namespace.sweep import read_swept
from topology.own_work import EndSweep, SweepNamespace

OTHER = replace(NAMESPACE, id="00000000-0000-4000-8000-0000000000ee", name="other")


def sweep(desk: Desk, *, limit: int = 2) -> int:
    """Sweep the desk's namespace once through all rows; return how many runs went."""
    after, count = b"", 0
    while True:
        step = SweepNamespace(NAMESPACE.id, after, limit)
        swept = read_swept(desk.ask("SweepNamespace", step))
        count += swept.count
        after = swept.next_key
        if not after:
            return count


def end(desk: Desk) -> None:
    """Say that nothing is left."""
    desk.ask("EndSweep", EndSweep(NAMESPACE.id, "default", 0, 1))


def test_open_and_closed_runs_go_step_by_step(desk: Desk) -> None:
    """With everything pending in them; runs of another namespace stay."""
    for number in range(3):
        desk.start(f"open{number}")
        desk.step(activity(), timer("t", 60))
        desk.start(f"closed{number}", queue="closed")
        desk.step(complete(), queue="closed")
    desk.be_in(OTHER)
    other = desk.start("open0")
    desk.be_in(NAMESPACE)
    assert sweep(desk) == 6
    assert sweep(desk) == 0
    assert [run.execution.run_id for run in desk.runs()] == [other]
    assert desk.next_due_at() is None
    assert desk.expire() == []


def test_each_step_is_bounded(desk: Desk) -> None:
    """So many runs go in one transition as were asked for, and no more."""
    for number in range(5):
        desk.start(f"w{number}")
    transitions = len(desk.log)
    assert sweep(desk, limit=2) == 5
    sizes = [len(changes) for _, changes in desk.log[transitions:]]
    assert sizes == [2, 2, 1]


def test_a_parent_elsewhere_hears_that_its_child_is_terminated(desk: Desk) -> None:
    """An open run ends as by a termination, for whoever waits for its end."""
    desk.start()
    sweep(desk)
    _, changes = desk.log[-1]
    types = [fact.event_type for fact in changes[0].facts if hasattr(fact, "event_type")]
    assert types[-1] == 27


def test_what_is_swept_stays_empty(desk: Desk) -> None:
    """A node that has not heard of the deletion yet can begin nothing; nor after a restart."""
    desk.start()
    sweep(desk)
    end(desk)
    with desk.refused(NamespaceNotFound, "Namespace default is not found."):
        desk.start()
    desk.forget()
    with desk.refused(NamespaceNotFound, "Namespace default is not found."):
        desk.start()
    transitions = len(desk.log)
    end(desk)
    assert len(desk.log) == transitions
    desk.be_in(OTHER)
    desk.start()
