"""Frauds, one mechanism a module. Each changes who does what where with which phone; devices then report it as ever."""

from producers.simulator.frauds import buddies, ghosts, rings, spoofing, travel
from producers.simulator.frauds.cheats import Cheat, Mechanism, Plan, cheats

MECHANISMS: tuple[Mechanism, ...] = (
    spoofing.MECHANISM,
    buddies.MECHANISM,
    ghosts.MECHANISM,
    rings.MECHANISM,
    travel.MECHANISM,
)

__all__ = ["MECHANISMS", "Cheat", "Mechanism", "Plan", "cheats"]
