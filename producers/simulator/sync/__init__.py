"""Mobile users who edit shared entities, now and then without a network.

Each person's day is made on its own (days): which entities were opened, which fields changed, when a client could ask
to sync, and which version of the entity it had. A server then takes all of that in the order in which it arrives
(server): a conflict is where a field that a user changed was changed by somebody else after that version. Nothing is
ever drawn for a feature. docs/simulator.md says what is made and what is left out.
"""

from producers.simulator.sync.scenario import Scenario
from producers.simulator.sync.world import Day, Simulation

__all__ = ["Day", "Scenario", "Simulation"]
