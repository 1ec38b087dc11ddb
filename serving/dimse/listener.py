"""Listens for devices, gives each a thread of its own, and ends them all in good order."""

import hashlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from serving.dimse.association import Association
from serving.dimse.entity import Entity, Visit
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError, RefusedError, TooSlowError
from serving.dimse.line import Line
from serving.dimse.pdu import write_abort
from serving.errors import StartError
from serving.sockets import listening_socket

log = logging.getLogger(__name__)

# Who has connected and not been let in yet; beyond these nobody is heard.
_MOST_AT_THE_DOOR = 128
_SECONDS_BETWEEN_LOOKS = 0.5


def open_listener(host: str, port: int, *, n_waiting: int = 256) -> socket.socket:
    """Listen on an address.

    Raises
    ------
    StartError
        If it cannot be had.
    """
    try:
        listener = listening_socket(host, port, n_waiting=n_waiting)
    except OSError as error:
        raise StartError(
            f"port {port} on {host} cannot be used for DICOM ({error.strerror}): "
            "name another by FIRSTREAD_DICOM_PORT."
        ) from error
    listener.settimeout(_SECONDS_BETWEEN_LOOKS)
    return listener


class Listener:
    """Serves an entity on a socket, from :meth:`start` to :meth:`stop`.

    Parameters
    ----------
    listener : socket
        Listens; closed at the end.
    entity : Entity
        Speaks with those who connect.
    tls : callable or None
        Gives the context of TLS; None: everything goes in the clear.
    """

    def __init__(
        self, listener: socket.socket, entity: Entity, *, tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        self.entity = entity
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._tls = tls
        self._lines: dict[threading.Thread, Line | None] = {}
        self._associations: dict[threading.Thread, Association] = {}
        self._held = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="dicom-listener", daemon=True)

    def start(self) -> None:
        """Let devices in from now on."""
        self._thread.start()

    @property
    def is_listening(self) -> bool:
        """Whether it lets devices in."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Let nobody in any more, have what is under way answered, and end what is not over by then."""
        self.entity.stopping.set()
        self._thread.join()
        until_s = time.monotonic() + seconds
        while (threads := self._threads()) and time.monotonic() < until_s:
            for association in self._idle():
                association.abort()
            threads[0].join(0.05)
        with self._held:
            lines = [line for line in self._lines.values() if line is not None]
        for line in lines:
            line.close()
        for thread in self._threads():
            thread.join(5.0)
        self._listener.close()

    def _threads(self) -> list[threading.Thread]:
        with self._held:
            return list(self._lines)

    def _idle(self) -> list[Association]:
        with self._held:
            return [one for one in self._associations.values() if one.is_waiting and not one.is_over]

    def _listen(self) -> None:
        while not self.entity.stopping.is_set():
            try:
                connection, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:  # too many open files: those that stand go on
                log.error("nobody can be let in: %s", error)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                continue
            terms = self.entity.parts.terms
            with self._held:
                is_full = len(self._lines) >= terms.most_associations + _MOST_AT_THE_DOOR
            if is_full:
                self.entity.parts.figures["refused-associations"] += 1
                with suppress(OSError):
                    connection.close()
                continue
            thread = threading.Thread(
                target=self._speak, args=(connection, str(address[0])), name="dicom", daemon=True
            )
            with self._held:
                self._lines[thread] = None
            thread.start()

    def _speak(self, connection: socket.socket, address: str) -> None:
        me = threading.current_thread()
        line: Line | None = None
        try:
            secured, certificate = self._secured(connection)
            line = Line(secured)
            with self._held:
                self._lines[me] = line

            def note(association: Association) -> None:
                with self._held:
                    self._associations[me] = association

            self.entity.serve(line, Visit(address, certificate), note)
        except (BrokenLineError, RefusedError) as error:
            log.info("an association ended: %s", error, extra={"address": address})
        except (GarbledError, TooSlowError) as error:
            log.warning("an association is aborted: %s", error, extra={"address": address})
            self.entity.parts.figures["aborted-associations"] += 1
            if line is not None:
                reason = error.reason if isinstance(error, GarbledError) else 0
                with suppress(DimseError):
                    line.write(write_abort(source=2, reason=reason), until_s=line.clock() + 2.0)
        except Exception:
            log.exception("an association failed", extra={"address": address})
            self.entity.parts.figures["aborted-associations"] += 1
            if line is not None:
                with suppress(DimseError):
                    line.write(write_abort(source=0, reason=0), until_s=line.clock() + 2.0)
        finally:
            if line is not None:
                line.close()
            with suppress(OSError):
                connection.close()
            with self._held:
                self._lines.pop(me, None)
                self._associations.pop(me, None)

    def _secured(self, connection: socket.socket) -> tuple[socket.socket, str | None]:
        """Shake hands where TLS is asked for, in the device's own thread: a slow one keeps nobody waiting."""
        if self._tls is None:
            return connection, None
        connection.settimeout(self.entity.parts.terms.patience.handshake_s)
        try:
            secured = self._tls().wrap_socket(connection, server_side=True)
        except TimeoutError as error:
            raise TooSlowError("the handshake of TLS is too slow") from error
        except (OSError, ssl.SSLError) as error:
            raise BrokenLineError(f"there is no TLS with it ({error})") from error
        shown = secured.getpeercert(binary_form=True)
        return secured, hashlib.sha256(shown).hexdigest() if shown else None
