"""How far an upgrade is: in which formats the agents' state is stored, and which releases run. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.runtime import Agent, kafka, skip
from streams.runtime.formats import counted, heard
from streams.runtime.restore import restore
from watchfloor.settings import Settings

UUID = 37
"""Characters of a dash and a UUID."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a partition of an agent stores.

    Attributes:
        newest: the agent's level in this release.
        level: at which the partition was written last; None before its first frame.
        values: how many, by part and format.
        old: how many of them are in a format that this release replaces.
    """

    agent: str
    partition: int
    newest: int
    level: int | None
    values: dict[str, dict[int, int]]
    old: int

    @property
    def left(self) -> str:
        """What is not finalised, in words; empty when all is."""
        if self.level is None or (self.level == self.newest and not self.old):
            return ""
        name = f"{self.agent}[{self.partition}]"
        if self.level > self.newest:
            return f"{name} is at level {self.level}: a newer release has finalised it"
        return f"{name} is at level {self.level} with {self.old:,} values in the format before"


@dataclass(frozen=True, slots=True)
class Member:
    """A worker in an agent's group. `level` is its release's; None when it does not say."""

    agent: str
    name: str
    host: str
    level: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an upgrade stands.

    Attributes:
        level: of this release.
        finalised: the setting `state_level`.
    """

    level: int
    finalised: int
    partitions: list[Stored]
    members: list[Member]

    @property
    def left(self) -> list[str]:
        """What is not finalised, a line for each partition."""
        return [text for each in self.partitions if (text := each.left)]

    @property
    def older(self) -> list[Member]:
        """Workers of the release before, or that do not say which they are of: none does while its group rebalances."""
        levels = {each.agent: each.newest for each in self.partitions}
        return [each for each in self.members if each.level is None or each.level < levels[each.agent]]

    @property
    def done(self) -> bool:
        return self.finalised >= self.level and not self.left


async def standing(settings: Settings, agents: Sequence[Agent], finalised: int) -> Standing:
    """Read the groups, and every changelog to its end: a few seconds for a million values.

    `finalised` is the value of the setting `state_level`.
    Raises KafkaError, TimeoutError, LookupError; Halt for what this release does not read.
    """
    partitions = [
        await _stored(settings, agent, number)
        for agent in agents
        for number in range(await skip.partitions_of(settings.kafka, settings.prefix + agent.input.name))
    ]
    members = [each for agent in agents for each in await _members(settings, agent)]
    return Standing(max(agent.level for agent in agents), finalised, partitions, members)


async def _stored(settings: Settings, agent: Agent, number: int) -> Stored:
    found = await restore(settings.kafka, settings.prefix + agent.changelog, number)
    level = None if found.mark is None else found.mark.level
    newer = level is not None and level > agent.level
    old = 0 if newer else len(agent.formats.old(found.entries))
    return Stored(agent.name, number, agent.level, level, counted(found.entries), old)


async def _members(settings: Settings, agent: Agent) -> list[Member]:
    group = settings.prefix + agent.name
    found = []
    for name, host, says in await kafka.members_of(settings.kafka, group):
        # Of a static member, the broker makes its id of the name and a UUID.
        short = name.removeprefix(f"{group}-")
        found.append(Member(agent.name, name if short == name else short[:-UUID], host, heard(says)))
    return found
