"""What a run says on the terminal, kept in its folder too: plain lines with their time, appended for ever."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import torch
from rich.console import Console
from rich.control import Control

from training.run import Run, versions
from training.saving import saving

# Wide enough that a line of figures is not broken.
WIDTH = 400


class LoggedConsole(Console):
    """A terminal that also writes to a run's log; progress bars and colours stay on the terminal.

    Before the first line the log says which versions speak: a run may be continued with others. Its folder
    must exist by then.
    """

    def __init__(self, run: Run, device: torch.device) -> None:
        super().__init__(stderr=True)
        self._run = run
        self._head = f"{versions()}, on {device} with {torch.get_num_threads()} threads"

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 (as rich has it)
        """Print on the terminal as rich does, and plainly to the log."""
        super().print(*objects, **options)
        if not objects or any(isinstance(one, Control) for one in objects):
            return
        plain = StringIO()
        Console(file=plain, width=WIDTH, no_color=True).print(*objects)
        log(self._run, f"{self._head}\n{plain.getvalue()}")
        self._head = ""


def log(run: Run, text: str) -> None:
    """Append lines to a run's log, each with the time.

    Raises
    ------
    training.errors.SavingError
        If the disk refuses.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = "".join(f"{now}  {line.strip()}\n" for line in text.splitlines() if line.strip())
    with saving(run.log), run.log.open("a", encoding="utf-8") as file:
        file.write(lines)
