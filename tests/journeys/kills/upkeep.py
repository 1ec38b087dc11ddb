"""Keeps programs alive as a service manager does: what ends is started again, after a short while."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[3]

# systemd's own default of RestartSec.
RESTART_S = 0.1


class Kept:
    """A program that is started again whenever it ends, until :meth:`stop`.

    Parameters
    ----------
    name : str
        What the table calls it.
    command : sequence of str
        The program.
    environment : mapping of str to str
        Its whole environment.
    log : Path
        Where its output is appended.
    user : str or None
        Whose account it runs under; None: ours.
    folder : Path
        Where it runs.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        user: str | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        self.log = log
        self.n_starts = 0
        self._command = list(command)
        self._environment = dict(environment)
        self._user = user
        self._folder = folder
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keeps-{name}", daemon=True)

    def start(self) -> None:
        """Start the program and keep it."""
        self._thread.start()

    @property
    def process(self) -> psutil.Process | None:
        """The process that runs now, if any."""
        running = self._process
        if running is None or running.poll() is not None:
            return None
        try:
            process = psutil.Process(running.pid)
            # One that was killed just now is waited for by another thread, and looks alive to `poll`.
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def stop(self, *, patience_s: float = 30.0) -> int | None:
        """End the program in good order and let it be; gives its exit status, None if it had to be killed."""
        with self._turn:
            self._stopping.set()
        running = self._process
        if running is not None:
            running.terminate()
            try:
                return running.wait(patience_s)
            except subprocess.TimeoutExpired:
                kill_family(psutil.Process(running.pid))
                running.wait()
            finally:
                self._thread.join(patience_s)
        return None

    def _keep(self) -> None:
        while self._start_unless_stopped():
            assert self._process is not None
            self._process.wait()
            self._stopping.wait(RESTART_S)

    def _start_unless_stopped(self) -> bool:
        with self._turn, self.log.open("ab") as output:
            if self._stopping.is_set():
                return False
            self.n_starts += 1
            output.write(f"--- start {self.n_starts} at {time.time():.3f}\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a kill is aimed at one process, never at ours
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
            return True


def kill_family(process: psutil.Process) -> None:
    """Kill a process and all that it started, the parent first, so that it starts no other."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def environment(**more: str) -> dict[str, str]:
    """Give ours without what concerns another firstread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTREAD_")}
    return kept | more


def firstread(*arguments: str) -> list[str]:
    """Give the command of a program of ours, run from the source."""
    return [sys.executable, "-c", "from serving.cli import main; main()", *arguments]
