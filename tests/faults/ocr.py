"""Simulated readings of meters and plates, and what people say that the images show."""

from producers.simulator.ocr import Scenario, Simulation
from schemas import topics
from tests.faults.simulated import DAYS, Kind, first_day

TENANTS, METERS, GATES = 2, 60, 3
WRONG, NOTICED, CHECKED = 0.1, 0.8, 0.2
"""Shares of the readings; a correction before its reading finds none."""

OCR = Kind(
    days=lambda seed: Simulation(
        Scenario(TENANTS, METERS, GATES, DAYS, first_day(), seed, WRONG, NOTICED, CHECKED)
    ).days(),
    events=topics.EVENTS_OCR,
    outcomes=topics.OUTCOMES_OCR,
    link="source_id",
    other={"confidence": 0.125},
    reverse=lambda outcome: {"corrected_text": outcome["corrected_text"][::-1]},
    between=topics.EVENTS_OCR.key_of,
)
