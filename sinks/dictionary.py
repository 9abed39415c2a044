"""The data dictionary: what every table and column means, as the database itself has it in its comments."""

from collections.abc import Iterator

from sinks.store import Store


def dictionary(store: Store) -> Iterator[str]:
    """Lines of Markdown. Raises Unavailable, Mismatch."""
    tables = store.query(
        "SELECT name, comment, partition_key, sorting_key, engine_full FROM system.tables "
        "WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name",
        {"database": store.database},
    )
    columns = store.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {database:String} "
        "ORDER BY table, position",
        {"database": store.database},
    )
    for table in tables:
        # Some tables have the names of topics, which stand on the same page.
        yield f"### Table {table['name']}"
        yield ""
        facts = [f"sorted by `{table['sorting_key']}`"]
        if table["partition_key"]:
            facts.append(f"cut by `{table['partition_key']}`")
        if " TTL " in table["engine_full"]:
            facts.append(f"kept until `{table['engine_full'].partition(' TTL ')[2].partition(' SETTINGS ')[0]}`")
        yield f"{table['comment']} It is {', '.join(facts)}."
        yield ""
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        for column in columns:
            if column["table"] == table["name"]:
                comment = column["comment"].replace("|", "\\|")
                yield f"| {column['name']} | {column['type']} | {comment} |"
        yield ""
