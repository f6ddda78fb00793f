"""A worker command that cannot be carried out: the whole completion is refused."""


class BadCommand(Exception):
    """Why: Temporal's WorkflowTaskFailedCause, and the text behind the cause's name.

    `terminates` says that the run must end for it (too large an input).
    """

    def __init__(self, cause: int, message: str = "", *, terminates: bool = False) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.terminates = terminates
