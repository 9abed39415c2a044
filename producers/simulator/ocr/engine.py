"""An engine behind one camera: which characters it confuses, how often it errs, and how sure it says it is."""

from dataclasses import dataclass, field
from random import Random

from producers.simulator.chance import logistic

CONFUSIONS: dict[str, str] = {
    "0": "8OD", "1": "7I", "2": "7Z", "3": "8", "4": "9", "5": "6S", "6": "85", "7": "1", "8": "3B", "9": "4",
    "B": "8", "D": "O", "G": "6", "I": "1", "M": "N", "N": "M", "O": "0D", "S": "5", "V": "W", "W": "V", "Z": "2",
}  # fmt: skip
"""What a character is taken for by cameras in general."""

LIKELY, FAVOURITE = 1.0, 8.0
"""How often a camera confuses a pair, and one of its favourites."""
FAVOURITES = 3
DROPPED, DOUBLED = 0.08, 0.03
"""Of the errors: a character is lost; one is read twice. In all others one is taken for another."""

VERSIONS = ("2.4", "3.0")
INFLATED = 0.9
"""How much surer the newer version says it is, in log-odds, while it errs as often."""
SURE, UNSURE = 2.1, 1.0
"""Mean confidence of right and of wrong readings, in log-odds: they overlap."""


@dataclass(slots=True)
class Engine:
    """One camera's engine.

    Attributes:
        errs: share of its readings that are wrong, while the lens is clean.
        bias: how much surer it is than others, in log-odds.
        favourites: pairs that it confuses above all.
        dirt: how much more often it errs for the dirt on its lens, 0 or more; it grows until somebody cleans it.
    """

    errs: float
    bias: float
    favourites: frozenset[tuple[str, str]]
    soils: float
    dirt: float = field(default=0.0)

    @classmethod
    def made(cls, alphabet: str, error_rate: float, r: Random) -> "Engine":
        """A camera for texts of these characters."""
        pairs = [(char, other) for char in alphabet for other in CONFUSIONS.get(char, "") if other in alphabet]
        share = min(0.9, error_rate * r.lognormvariate(-0.18, 0.6))
        soils = r.uniform(0.005, 0.03) if r.random() < 0.25 else 0.0
        return cls(share, r.gauss(0.0, 0.6), frozenset(r.sample(pairs, min(FAVOURITES, len(pairs)))), soils)

    def next_day(self, r: Random) -> None:
        """Dirt comes; on some day it is wiped off."""
        self.dirt = 0.0 if r.random() < 0.01 else self.dirt + self.soils

    def read(self, shown: str, r: Random) -> str:
        """What the engine makes of what is there."""
        if not shown or r.random() >= self.errs * (1.0 + self.dirt):
            return shown
        luck, place = r.random(), r.randrange(len(shown))
        if luck < DROPPED and len(shown) > 1:
            return shown[:place] + shown[place + 1 :]
        if luck < DROPPED + DOUBLED:
            return shown[: place + 1] + shown[place:]
        options = [
            (at, other, FAVOURITE if (char, other) in self.favourites else LIKELY)
            for at, char in enumerate(shown)
            for other in CONFUSIONS.get(char, "")
        ]
        if not options:
            return shown[:place] + shown[place + 1 :]
        at, other, _ = r.choices(options, [weight for _, _, weight in options])[0]
        return shown[:at] + other + shown[at + 1 :]

    def confidence(self, right: bool, newer: bool, r: Random) -> float:
        """What the engine says of a reading."""
        mean = (SURE if right else UNSURE) + self.bias + (INFLATED if newer else 0.0) - 0.3 * self.dirt
        return round(logistic(mean + r.gauss(0.0, 1.1)), 4)
