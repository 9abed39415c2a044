"""How entries are told apart in a changelog: record key, separator, name of the part, separator, sub-key."""

# Record keys are UTF-8, where this byte cannot occur.
SEPARATOR = b"\xff"
