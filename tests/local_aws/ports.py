"""A port for a test that has to find the same one free again a moment later."""

from __future__ import annotations

import contextlib
import random
import socket

# Below those that systems give to whoever asks for any, so that no other process comes by it meanwhile.
PORTS = range(20_000, 32_000)


def quiet_port() -> int:
    """A free port that nobody gets who does not name it."""
    for number in random.SystemRandom().sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", number)):
            return number
    raise AssertionError(f"A hundred ports of {PORTS} are in use.")
