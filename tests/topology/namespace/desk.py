"""A core and its replay, asked about namespaces: replay equals live after each decision."""

import copy
from typing import Any

from schemas.temporal import operator, service
from tests.support.core import EPOCH, Partition
from topology.decision import Ask, Decision, Namespace
from topology.effects import ProjectNamespace
from topology.namespace.archival import Archivals
from topology.namespace.record import NamespaceChanged

DAY_S = 86_400


class Registry:
    """The home of some namespaces."""

    def __init__(self, archivals: Archivals | None = None) -> None:
        self._live = Partition(archivals=archivals)
        self._replayed = Partition()
        self._asked = 0
        self.published: list[NamespaceChanged] = []

    def ask(self, method: str, name: str, request: Any) -> bytes:
        """Ask the home of a name; raise the refusal."""
        self._asked += 1
        ask = Ask(method, Namespace("", name, 0, 0), name, request, self._asked.to_bytes(16))
        decision = self._live.core.decide(ask, now=EPOCH, seed=self._asked.to_bytes(32))
        self._accept(decision)
        (reply,) = decision.replies
        assert isinstance(reply.body, bytes), f"expected an answer, found {reply.body!r}"
        return reply.body

    def register(self, name: str, **more: Any) -> NamespaceChanged:
        """Register a namespace; return its record."""
        request = service.RegisterNamespaceRequest(namespace=name, **more)
        request.workflow_execution_retention_period.seconds = DAY_S
        self.ask("RegisterNamespace", name, request)
        return self.published[-1]

    def update(self, name: str, **fields: Any) -> NamespaceChanged:
        """Update a namespace; return its record."""
        request = service.UpdateNamespaceRequest(namespace=name, **fields)
        self.ask("UpdateNamespace", name, request)
        return self.published[-1]

    def delete(self, name: str) -> NamespaceChanged:
        """Delete a namespace; return its record."""
        self.ask("DeleteNamespace", name, operator.DeleteNamespaceRequest(namespace=name))
        return self.published[-1]

    def rows(self) -> dict[bytes, bytes]:
        """Return what is stored."""
        return self._live.rows.rows

    def _accept(self, decision: Decision) -> None:
        changes = copy.deepcopy(decision.changes)
        self._live.rows.write(decision.rows)
        replayed = self._replayed.core.fold(changes, decided_at=EPOCH)
        assert replayed == decision.rows, "replaying a decision wrote other rows"
        self._replayed.rows.write(replayed)
        for effect in decision.effects:
            if isinstance(effect, ProjectNamespace):
                self.published.append(NamespaceChanged(**effect.record))  # type: ignore[arg-type]  # its own fields
