"""The service, in this process, behind a socket: for benchmarks that ask it by HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tests.serving.service_in_process import in_process


@contextmanager
def listening(folder: Path) -> Iterator[int]:
    """Serve a home in `folder`; gives the port."""
    with in_process(folder) as service:
        assert isinstance(service.client.app, FastAPI)
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(service.client.app, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
