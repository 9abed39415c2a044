"""Free ports for servers on this machine."""

import random
import socket
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(wanted: int = 0) -> int:
    """`wanted` when it is free, else a random free port below those which the kernel hands to clients.

    A port of the kernel's own range would be taken by any client while the server is down: even by one that tries
    to reach this very server, because such a connection can meet itself.
    """
    if wanted and is_free(wanted):
        return wanted
    lowest = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32768
    candidates = range(max(1024, lowest - 20_000), lowest) if lowest > 2048 else range(20_000, 32_000)
    for port in random.sample(candidates, 200):
        if is_free(port):
            return port
    raise OSError(f"no free port found between {candidates[0]} and {candidates[-1]}")
