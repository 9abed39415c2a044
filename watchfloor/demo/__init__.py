"""The demonstration: from nothing to a real alert on this machine."""
