"""Gates: which vehicles come, day by day."""

from dataclasses import dataclass
from random import Random

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHARACTERS = LETTERS + "0123456789"
FRENCH = "ABCDEFGHJKLMNPQRSTVWXYZ"
CITIES = ("B", "HH", "M", "K", "F", "S", "DO", "HB", "DD", "PI", "OD", "SE", "RZ")
VISITORS = 0.2
"""Of the entries: somebody who comes once."""
FOREIGN = 0.1


@dataclass(slots=True)
class Gate:
    """One gate; `regulars` come on most of their days."""

    name: str
    regulars: list[str]
    entries: float

    @classmethod
    def made(cls, name: str, r: Random) -> "Gate":
        return cls(name, [plate(r) for _ in range(r.randint(40, 120))], r.uniform(20.0, 60.0))

    def next_day(self, weekend: bool, r: Random) -> list[tuple[float, str]]:
        """Hour and plate of the entries of a day."""
        count = max(0, round(r.gauss(self.entries * (0.35 if weekend else 1.1), 5.0)))
        return sorted(
            (
                min(23.9, max(0.1, r.gauss(8.5, 2.5))),
                plate(r) if r.random() < VISITORS else r.choice(self.regulars),
            )
            for _ in range(count)
        )


def plate(r: Random) -> str:
    """A German plate, or a French or Polish one."""
    if r.random() >= FOREIGN:
        return f"{r.choice(CITIES)}-{_letters(r, r.randint(1, 2))} {r.randint(10, 9999)}"
    if r.random() < 0.5:
        return f"{_letters(r, 2, FRENCH)}-{r.randint(100, 999)}-{_letters(r, 2, FRENCH)}"
    return f"{_letters(r, 2)} {r.randint(10000, 99999)}"


def _letters(r: Random, count: int, of: str = LETTERS) -> str:
    return "".join(r.choice(of) for _ in range(count))
