"""A connection that does not wait for ever: for the head of a request, or for a client that does not read.

uvicorn has a time-out between requests alone, and a byte stops it. So a client that opens connections and
sends nothing, or a letter now and then, would hold them all (slow loris).
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

# A request's head is a kilobyte or two; a line that cannot send it in this time cannot send images either.
SECONDS_TO_A_HEAD = 20.0

# A client that takes nothing of an answer for this long is gone.
SECONDS_TO_TAKE = 60.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a limit to each wait for the client."""

    seconds_to_a_head = SECONDS_TO_A_HEAD
    seconds_to_take = SECONDS_TO_TAKE

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_due: asyncio.TimerHandle | None = None
        self._take_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came; the wait ends with the head of a request, not with a byte."""
        super().data_received(data)
        if self._is_answering():
            self._end_waiting_for_head()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if not self._is_answering():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End every wait."""
        self._end_waiting_for_head()
        self._end_waiting_to_take()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        if self._take_due is None:
            self._take_due = self.loop.call_later(self.seconds_to_take, self.transport.abort)

    def resume_writing(self) -> None:
        """End the wait: it reads."""
        self._end_waiting_to_take()
        super().resume_writing()

    def _wait_for_head(self) -> None:
        self._end_waiting_for_head()
        self._head_due = self.loop.call_later(self.seconds_to_a_head, self.transport.close)

    def _end_waiting_for_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _end_waiting_to_take(self) -> None:
        if self._take_due is not None:
            self._take_due.cancel()
            self._take_due = None

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is not None and not cycle.response_complete
