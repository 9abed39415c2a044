"""The site simulator: attendance of people at sites, honest and not, as upstream systems would report it.

A day goes through four steps, each in a module of its own: rosters say who should work (rosters), people come and go
as people do (honest), some of them cheat (frauds), and phones and terminals report what they see (readings).
Reading is the same for all: a fraud changes who stands where with which phone, never a value in an event.
docs/simulator.md says what it makes and what it leaves out.
"""

from producers.simulator.scenario import LEVELS, Difficulty, Scenario
from producers.simulator.world import Day, Simulation

__all__ = ["LEVELS", "Day", "Difficulty", "Scenario", "Simulation"]
