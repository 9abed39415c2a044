"""The real ClickHouse engine (chDB) behind ClickHouse's HTTP interface, as a process of its own."""

from watchfloor.embedded.clickhouse.process import Engine

__all__ = ["Engine"]
