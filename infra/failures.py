"""How a node says why it cannot start or go on: a sentence for people, an exit code for scripts."""

CANNOT_START = 2
FAILED = 1


class StartFailure(Exception):
    """The node cannot start as asked; the message is one clear sentence."""


class NodeFailure(Exception):
    """A part of the running node died; the message is one clear sentence."""
