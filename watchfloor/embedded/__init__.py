"""The broker and the database engine that run on this machine alone."""
