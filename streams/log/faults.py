"""What the log says cannot be: the process stops with one sentence (L7)."""


class LogFault(Exception):
    """A fold or a dense topic that breaks the protocol; nothing may skip it."""


class WrongLog(Exception):
    """The store was folded from another log (L6): discard it and fold anew."""
