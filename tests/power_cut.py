"""Stops a test's program where the power could fail: at one of its flushes to disk."""

import pytest


def cut_power(monkeypatch: pytest.MonkeyPatch, *, after: int) -> list[int]:
    """Let every fsync after so many be the last thing that happens; give the descriptors flushed so far."""
    done: list[int] = []

    def fail(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) > after:
            raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", fail)
    return done
