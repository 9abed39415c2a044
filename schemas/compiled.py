"""The compiled modules where they were built and are wanted: WATCHFLOOR_PURE=1 in the environment does without."""

import os
from importlib import import_module
from types import ModuleType


def load(name: str) -> ModuleType | None:
    """A compiled module by its full name, or None for plain Python."""
    if os.environ.get("WATCHFLOOR_PURE") == "1":
        return None
    try:
        return import_module(name)
    except ImportError:
        return None


COMPILED = load("schemas._compiled")
