"""Sites, calendars and rosters as people hand them in, turned into commands to the control agent."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from models.control import Setting
from producers.control import command


class Newest(NamedTuple):
    """The newest version of a record: its number (0 before the first), its value, and from when on it holds."""

    version: int
    value: Any
    valid_from: int


NONE = Newest(0, None, 0)


def changes(
    records: Iterable[Mapping[str, Any]],
    setting: Setting,
    newest: Callable[[str, str], Newest],
    *,
    by: str,
    reason: str,
) -> Iterator[dict[str, Any]]:
    """A command for each record that is not as it stands, in their order.

    The first version of a record holds from the beginning, as a site was there before anybody entered it; a later one
    from its `updated_at` on, or from now on where that is not after the version before.

    Args:
        records: valid, in the schema of the setting's record.
        setting: what they are.
        newest: by tenant and name of a setting.
        by, reason: as in a command.
    """
    topic = setting.record
    if topic is None:
        raise ValueError(f"{setting.name} is no reference data")
    now = int(time.time() * 1000)
    stands: dict[tuple[str, str], Newest] = {}
    for record in records:
        tenant = record["tenant_id"]
        name = "|".join([setting.name, *(record[field] for field in topic.key or ())])
        key = {"tenant_id", "updated_at", *(topic.key or ())}
        value = {field: content for field, content in record.items() if field not in key}
        before = stands.get((tenant, name)) or newest(tenant, name)
        if before.value == value:
            continue
        valid_from = 0
        if before.version:
            valid_from = record["updated_at"] if record["updated_at"] > before.valid_from else now
        stands[tenant, name] = Newest(before.version + 1, value, valid_from)
        yield command(
            action="set",
            tenant=tenant,
            name=name,
            value=json.dumps(value),
            expected_version=before.version,
            valid_from=valid_from,
            requested_at=now,
            by=by,
            reason=reason,
        )
