"""The compiled module where it was built and is wanted: WATCHFLOOR_PURE=1 in the environment does without."""

import os
from importlib import import_module
from types import ModuleType


def load() -> ModuleType | None:
    """schemas._compiled, or None for plain Python."""
    if os.environ.get("WATCHFLOOR_PURE") == "1":
        return None
    try:
        return import_module("schemas._compiled")
    except ImportError:
        return None


COMPILED = load()
