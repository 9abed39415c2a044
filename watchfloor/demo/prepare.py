"""`python -m watchfloor.demo.prepare`: an empty prefix and database for the demonstration, whatever was there."""

import logging
import sys
import time

import click
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.apply import Cluster
from sinks import migrate
from sinks.store import Store, quoted
from watchfloor.commands.db import open_store
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

log = logging.getLogger(__name__)

LIMIT_S = 60.0
MARK = "demo"


def clear_topics(kafka: str, prefix: str) -> None:
    """Delete all topics and idle groups of a prefix. Raises TimeoutError when topics do not go."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})

    def names() -> list[str]:
        return [name for name in admin.list_topics(timeout=20).topics if name.startswith(prefix)]

    if found := names():
        for deleted in admin.delete_topics(found, operation_timeout=30).values():
            deleted.result(60)
    deadline = time.monotonic() + LIMIT_S
    while names():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the topics of an earlier demo are still there after {LIMIT_S:.0f} s")
        time.sleep(0.1)
    groups = admin.list_consumer_groups(request_timeout=20).result(20).valid
    if mine := [group.group_id for group in groups if group.group_id.startswith(prefix)]:
        for group, removed in admin.delete_consumer_groups(mine, request_timeout=20).items():
            try:
                removed.result(20)
            except KafkaException as error:
                # Offsets of groups only feed displays; one that is still in use does no harm.
                if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                    raise
                log.warning("group %s is still in use", group)


def clear_database(store: Store) -> None:
    """Drop the database with all its tables."""
    store.command(f"DROP DATABASE IF EXISTS {quoted(store.database)} SYNC")


def main() -> None:
    settings = Settings()
    if MARK not in settings.prefix or MARK not in settings.database:
        sys.exit(f"refused: {settings.prefix!r} and {settings.database!r} are not a demo's, and would be emptied")
    store = open_store(settings)
    try:
        clear_topics(settings.kafka, settings.prefix)
        clear_database(store)
        # Records of the recorded week carry their own times: any retention would delete them at once.
        Cluster(settings.kafka).apply(all_wanted(settings, forever=True))
        migrate.migrate(store)
    except (KafkaException, TimeoutError) as error:
        raise click.ClickException(f"Kafka at {settings.kafka} was not made ready: {error}") from error


if __name__ == "__main__":
    main()
