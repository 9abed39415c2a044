"""Attendance in the demonstration: a portfolio's past, training on what was logged, live days, verdicts."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from models.classifiers import Examples, TooFewLabels
from models.control import REFERENCES
from models.fraud.artifact import NAME
from models.fraud.features import FEATURES_V2, LARGEST
from models.fraud.heuristic import VERSION as RULE
from models.fraud.training import SPAN_MS, Result, learn
from models.registry import Place
from models.registry.activation import value_of
from models.tickets import AUDIT, DECISION
from producers.references import NONE, changes
from schemas.topics import ALERTS, EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE, TICKETS
from sinks.labelled import Wanted, labelled
from sinks.store import Store, quoted
from watchfloor.demo.act import WHO, WHY, Act, Served, setting
from watchfloor.demo.portfolio import LIVE_DAYS, Portfolio, portfolio
from watchfloor.demo.tally import count
from watchfloor.demo.terminal import Terminal
from watchfloor.demo.watch import Seen
from watchfloor.demo.worlds import Part, Record
from watchfloor.settings import Settings

LIVE_S = 15.0
"""So long the live days take."""

SHOWN = 6
"""Alerts, and tickets, that are shown; the others are counted."""

FIGURES = """
SELECT p.tenant_id AS tenant, p.model_version AS version, count() AS events, countIf(p.decision = 'ticket') AS tickets,
    countIf(p.decision = 'alert') AS alerts, countIf(l.label IS NOT NULL) AS verdicts, countIf(l.label) AS frauds,
    countIf(l.label AND p.decision = 'ticket') AS in_tickets, countIf(l.label AND p.decision = 'alert') AS in_alerts,
    countIf(l.label IS NOT NULL AND p.decision = 'ticket') AS judged
FROM {database}.v_predictions AS p LEFT JOIN {database}.v_labelled_predictions AS l
    ON l.tenant_id = p.tenant_id AND l.model = p.model AND l.event_time = p.event_time
    AND l.prediction_id = p.prediction_id
WHERE p.model = {{model:String}} AND p.event_time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
GROUP BY tenant, version ORDER BY events DESC
SETTINGS join_use_nulls = 1
"""


class Fraud(Act):
    """Attendance: check-ins of three employers."""

    name, view = "attendance", "v_outcomes"
    model, events, outcomes = NAME, EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE

    def __init__(self, settings: Settings, store: Store, terminal: Terminal, stop: asyncio.Event) -> None:
        super().__init__(settings, store, terminal, stop)
        self.seen: list[Seen] = []
        self.audited: set[str] = set()

    async def story(self, found: dict[str, Any]) -> None:
        terminal = self.terminal
        terminal.title("Check-ins of three employers, frauds among them")
        began = time.monotonic()
        with terminal.waiting("simulating the past months of three tenants"):
            made = await self.do(portfolio, datetime.now(UTC).date())
        past, live = made.past, made.live
        sizes = ", ".join(
            f"{tenant} {people} people for {made.days[tenant]} days" for tenant, people in made.people.items()
        )
        terminal.done("People", f"simulated: {sizes}", time.monotonic() - began)
        await self._enter(made)
        found["backfilled"] = await self._backfill(past.events, past.outcomes)
        served = [await self._train(tenant) for tenant in made.people]
        found["served_by"] = {each.tenant: each.version or RULE for each in served}
        since = live.events[0]["occurred_at"]
        await self._activate(served)
        found["live"] = await self._live(live.events)
        found["verdicts_joined"] = await self._verdicts(live.events, live.outcomes)
        found["tenants"] = await self._figures(served, since)

    # -- steps --------------------------------------------------------------------------------------------

    async def _enter(self, made: Portfolio) -> None:
        """Sites, calendars and rosters, as commands to the control agent."""
        commands = [
            each
            for name, records in made.references.items()
            for each in changes(records, REFERENCES[name], lambda tenant, name: NONE, by=WHO, reason=WHY)
        ]
        began = time.monotonic()
        with self.terminal.waiting("entering sites, calendars and rosters"):
            await self.control(commands)
        counts = ", ".join(f"{len(each):,} {name.rpartition('.')[2]}" for name, each in made.references.items())
        self.terminal.done("Control", f"{counts}: versioned, audited settings", time.monotonic() - began)

    async def _backfill(self, events: Sequence[Record], outcomes: Sequence[Record]) -> int:
        """The past through the workers, with its own times."""
        began = time.monotonic()
        with self.terminal.waiting(f"{len(events):,} check-ins of the past: Kafka, features, score, ClickHouse"):
            await self.publish(EVENTS_ATTENDANCE, events, "occurred_at")
            await self.scored(len(events))
        took = time.monotonic() - began
        rate = len(events) / took
        self.terminal.done(
            "Past", f"{len(events):,} check-ins, each with its features, scored by the rule ({rate:,.0f}/s)", took
        )
        began = time.monotonic()
        with self.terminal.waiting(f"{len(outcomes):,} verdicts of supervisors, joined with what they judge"):
            await self.publish(OUTCOMES_ATTENDANCE, outcomes)
            await self.labelled({each["event_id"] for each in outcomes})
        self.terminal.done(
            "Labels", f"{len(outcomes):,} verdicts, joined in the stream with what they judge", time.monotonic() - began
        )
        return len(events)

    async def _train(self, tenant: str) -> Served:
        """A model of the tenant's own, of what was logged, as far as it is in ClickHouse; or why there is none."""
        began = time.monotonic()
        with self.terminal.waiting(f"training for {tenant}"):
            found = await self.do(self._learn, tenant)
        if isinstance(found, str):
            served = Served(tenant, f"the documented rule: {found}")
        else:
            served = await self.do(self._store, tenant, found)
        self.terminal.done("Model", f"[bold]{tenant}[/bold]: {served.why}", time.monotonic() - began)
        return served

    def _learn(self, tenant: str) -> Result | str:
        now = int(time.time() * 1000)
        wanted = Wanted(NAME, tenant, LARGEST, len(FEATURES_V2), now - SPAN_MS, now, now)
        try:
            return learn(Examples.of(*labelled(self.store, wanted)), LARGEST, "xgboost")
        except TooFewLabels as error:
            return str(error)

    def _store(self, tenant: str, result: Result) -> Served:
        manifest = self.keep(tenant, result)
        learned, figures = result.about["train"], manifest.about()["metrics"]
        why = f"a model of its own ({manifest.version}), of {learned['rows']:,} labelled check-ins, "
        why += f"{learned['positives']} of them frauds"
        if "pr_auc" in figures:
            why += f"; on the newest {figures['rows']:,.0f}: PR-AUC {figures['pr_auc']:.2f}"
            why += f", the rule {figures['heuristic_pr_auc']:.2f}"
        certificate = None if result.model is None else result.model["decisions"]["certificate"]
        return Served(tenant, why, manifest.version, figures, certificate)

    async def _activate(self, served: Iterable[Served]) -> None:
        """Let models serve, and open tickets where the newest reviewed cases prove them right."""
        commands, said = [], []
        for each in served:
            if each.version is None:
                continue
            commands.append(self.activation(each.tenant, each.version))
            proof = each.certificate
            if proof is None or proof["since"] is None:
                said.append(f"{each.tenant}: no tickets without a person, the newest verdicts do not prove enough")
                continue
            value = value_of(Place(NAME, each.tenant), each.version)
            commands.append(setting(each.tenant, "fraud_certificate", f"{value}@{proof['since']}"))
            commands.append(setting(each.tenant, "auto_ticket", True))
            said.append(
                f"{each.tenant}: {proof['correct']} of {proof['reviews']} reviewed would-be tickets were right: "
                f"certified from p0 {proof['since']:.2f} on"
            )
        began = time.monotonic()
        with self.terminal.waiting("activating"):
            await self.control(commands)
        self.terminal.done("Active", "; ".join(said) or "nothing: no tenant has a model", time.monotonic() - began)

    async def _live(self, events: Sequence[Record]) -> dict[str, int]:
        """The live days, fast: what comes out is shown as it comes."""
        terminal = self.terminal
        terminal.title(f"{LIVE_DAYS} days live, in {LIVE_S:.0f} seconds: {len(events):,} check-ins")
        await self.watched((ALERTS, TICKETS), self._see, Part(list(events), []), LIVE_S)
        shown: Counter[str] = Counter(seen.topic for seen in self.seen if seen.record["seq"] == 1)
        for name, noun in ((TICKETS.name, "tickets"), (ALERTS.name, "alerts for people")):
            if shown[name] > SHOWN:
                terminal.note(f"... {shown[name]} {noun} in all")
        if self.audited:
            terminal.note(
                f"{len(self.audited)} that were cleared were drawn at random, for people to look at all the same"
            )
        return {"events": len(events), "tickets": shown[TICKETS.name], "alerts": shown[ALERTS.name]}

    def _see(self, seen: Seen) -> None:
        """Show what is new and about people; in the thread that reads."""
        record = seen.record
        if seen.topic == ALERTS.name and record["metric"] != NAME:
            return
        if record.get("purpose") == AUDIT:
            self.audited.add(record["ticket_id"])
            return
        self.seen.append(seen)
        new = [each for each in self.seen if each.topic == seen.topic and each.record["seq"] == 1]
        if record["seq"] == 1 and len(new) <= SHOWN:
            kind = "TICKET" if seen.topic == TICKETS.name else "ALERT"
            self.terminal.case(kind, record["tenant_id"], record["severity"], record["summary"])

    async def _verdicts(self, events: Sequence[Record], outcomes: Sequence[Record]) -> int:
        """What supervisors said of the live days; gives how many of their events have a label."""
        began = time.monotonic()
        with self.terminal.waiting(f"{len(outcomes):,} verdicts come in"):
            await self.publish(OUTCOMES_ATTENDANCE, outcomes)
            judged = {each["event_id"] for each in outcomes}
            await self.labelled(judged)
        live = len(judged & {each["event_id"] for each in events})
        self.terminal.done(
            "Joined",
            f"{len(outcomes):,} verdicts of the week after; {live:,} live check-ins are labelled",
            time.monotonic() - began,
        )
        return live

    async def _figures(self, served: Iterable[Served], since: int) -> list[dict[str, Any]]:
        """What each version has done in the live days, as ClickHouse has it."""
        query = FIGURES.format(database=quoted(self.store.database))
        rows: list[dict[str, Any]] = await self.do(self.store.query, query, {"model": NAME, "since": since})
        models = {each.tenant: each for each in served}
        self.terminal.title("What they did in these days, as ClickHouse has it")
        self.terminal.table(
            [
                (
                    row["tenant"],
                    f"decided: {row['tickets']} ticket, {row['alerts']} alert",
                    f"of {row['events']:,} check-ins, by {row['version']}; {row['in_tickets']} of {row['judged']} "
                    f"judged tickets right; of {row['frauds']} known frauds {row['in_tickets']} in tickets, "
                    f"{row['in_alerts']} in alerts",
                )
                for row in rows
            ]
        )
        return [{**row, "held_out": dict(models[row["tenant"]].figures)} for row in rows]

    def books(self) -> dict[str, Any]:
        return super().books() | {
            "tickets": count(self.store, "v_tickets", "purpose = {purpose:String}", purpose=DECISION),
            "alerts": count(self.store, "v_alerts", "metric = {name:String}", name=NAME),
        }
