"""The OCR simulator: meters and gates, engines that misread them, and people who correct some of that.

What is there is made first (meters, gates); an engine reads it with the confusions of its camera and a confidence that
is not what it says (engine); people look at some readings (corrections). docs/simulator.md says what it leaves out.
"""

from producers.simulator.ocr.scenario import Scenario
from producers.simulator.ocr.world import Day, Simulation

__all__ = ["Day", "Scenario", "Simulation"]
