import asyncio
import socket

from serving.hosting.server import open_socket


def test_answers_are_sent_without_waiting_for_the_receivers_acknowledgement() -> None:
    """Else each answer on a connection that is kept waits for it, 40 ms."""

    async def has_no_delay(listener: socket.socket) -> bool:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            told.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(take, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            is_set = bool(await told)
            writer.close()
        return is_set

    listener = open_socket("127.0.0.1", 0, allow_remote=False, with_sign_in=True)

    assert asyncio.run(has_no_delay(listener))
