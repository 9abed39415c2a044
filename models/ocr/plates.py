"""Forms of plates by country: roughly, for telling a plate from a misread one, not for looking one up."""

import re
from functools import lru_cache

_LETTERS = "A-ZÄÖÜ"
FORMATS: dict[str, str] = {
    "AT": r"[A-Z]{1,2}[0-9]{1,5}[A-Z]{1,3}",
    "BE": r"[0-9][A-Z]{3}[0-9]{3}",
    "CH": r"[A-Z]{2}[0-9]{1,6}",
    "CZ": r"[0-9][A-Z][0-9A-Z][0-9]{4}",
    "DE": rf"[{_LETTERS}]{{1,3}}[A-Z]{{1,2}}[0-9]{{1,4}}[EH]?",
    "ES": r"[0-9]{4}[BCDFGHJKLMNPRSTVWXYZ]{3}",
    "FR": r"[A-HJ-NP-TV-Z]{2}[0-9]{3}[A-HJ-NP-TV-Z]{2}",
    "GB": r"[A-Z]{2}[0-9]{2}[A-Z]{3}",
    "IT": r"[A-HJ-NPR-TV-Z]{2}[0-9]{3}[A-HJ-NPR-TV-Z]{2}",
    "NL": r"(?=.*[A-Z])(?=.*[0-9])[A-Z0-9]{6}",
    "PL": r"[A-Z]{2,3}[0-9A-Z]{4,5}",
    "TR": r"[0-9]{2}[A-Z]{1,3}[0-9]{2,4}",
}
"""Of normalised plates: without spaces and dashes. By the countries' rules, leaving out rare forms."""

EVERYWHERE = ",".join(FORMATS)


def known(plate: str, countries: str = EVERYWHERE) -> bool:
    """Whether a normalised plate has a form of one of these countries (ISO 3166-1, separated by commas)."""
    return any(form.fullmatch(plate) for form in _forms(countries or EVERYWHERE))


@lru_cache
def _forms(countries: str) -> list[re.Pattern[str]]:
    return [re.compile(FORMATS[country]) for country in countries.split(",")]


def countries_fault(text: str) -> str | None:
    """What is wrong with a list of countries; None for a good one."""
    unknown = [country for country in text.split(",") if country not in FORMATS]
    return f"{unknown[0]} is none of {EVERYWHERE}" if unknown else None
