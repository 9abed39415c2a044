"""Names of the settings by which a tenant says how its readings are treated."""

from models.readings import SOURCE_TYPES

CAPTURE: dict[str, str] = {source: f"{source}_capture_threshold" for source in SOURCE_TYPES}
"""The setting of the confidence below which a reading is captured, by source type."""
PLAIN, COUNTRIES = "plain_plates", "plate_countries"
