"""What ends an association before its time, said so that the log and the other side can be told."""


class DimseError(Exception):
    """An association cannot go on."""


class BrokenLineError(DimseError):
    """The connection is gone, or the other side aborted."""


class TooSlowError(DimseError):
    """The other side sends, or takes, less than the pace asks for."""


class GarbledError(DimseError):
    """What came is not the protocol, or breaks a limit; `reason` is that of an A-ABORT (PS3.8 9.3.8)."""

    def __init__(self, problem: str, *, reason: int = 0) -> None:
        self.reason = reason
        super().__init__(problem)


class RefusedError(DimseError):
    """The other side does not let us in."""
