"""Every move of the states of alerts and incidents, and every one that is refused."""

from itertools import product

import pytest

from models import alerts, incidents

ANY_TIME = ("comment", "verdict")
ALERT = {
    ("none", "open"): "open",
    ("open", "acknowledge"): "acknowledged",
    ("open", "resolve"): "resolved",
    ("open", "escalate"): "open",
    ("acknowledged", "resolve"): "resolved",
    ("resolved", "hold_back"): "resolved",
    **{
        (state, action): state
        for state, action in product(("open", "acknowledged"), ("fire", "flap", "assign", "snooze", *ANY_TIME))
    },
    **{("resolved", action): "resolved" for action in ANY_TIME},
}
ALERT_ACTIONS = ("open", "fire", "flap", "escalate", "hold_back", *alerts.BY_PEOPLE, "dance")
INCIDENT = {
    ("none", "open"): "candidate",
    ("candidate", "confirm"): "confirmed",
    **{
        (state, action): "closed" if action in ("merge", "close") else state
        for state, action in product(("candidate", "confirmed"), ("join", "merge", "take_over", "split", "close"))
    },
}
INCIDENT_ACTIONS = ("open", "join", "take_over", "close", *alerts.BY_PEOPLE, "dance")


def refusal(thing: str, state: str, action: str, table: dict[tuple[str, str], str]) -> str:
    """What is said of a move that is not in the table: a person is told what people can do."""
    able = [a for s, a in table if s == state and (a in alerts.BY_PEOPLE or action not in alerts.BY_PEOPLE)]
    return f"cannot {action} an {thing} that is {state}; possible: {sorted(able) or ['nothing']}"


def said(error: pytest.ExceptionInfo[alerts.MoveRefused]) -> str:
    begin, possible, able = str(error.value).partition("; possible: ")
    return f"{begin}{possible}{sorted(able.split(', '))}"


@pytest.mark.parametrize(
    ("state", "action"), list(product(("none", "open", "acknowledged", "resolved", "lost"), ALERT_ACTIONS))
)
def test_moves_of_an_alert(state: str, action: str) -> None:
    expected = ALERT.get((state, action))
    if expected is None:
        with pytest.raises(alerts.MoveRefused) as refused:
            alerts.move(state, action)
        assert said(refused) == refusal("alert", state, action, ALERT)
    else:
        assert alerts.move(state, action) == expected


@pytest.mark.parametrize(
    ("state", "action"), list(product(("none", "candidate", "confirmed", "closed", "lost"), INCIDENT_ACTIONS))
)
def test_moves_of_an_incident(state: str, action: str) -> None:
    expected = INCIDENT.get((state, action))
    if expected is None:
        with pytest.raises(alerts.MoveRefused) as refused:
            alerts.move(state, action, incidents.MOVES, "incident")
        assert said(refused) == refusal("incident", state, action, INCIDENT)
    else:
        assert alerts.move(state, action, incidents.MOVES, "incident") == expected


def test_a_person_is_told_what_people_can_do() -> None:
    with pytest.raises(alerts.MoveRefused, match=r"possible: comment, verdict$"):
        alerts.move("resolved", "acknowledge")
    with pytest.raises(alerts.MoveRefused, match=r"possible: merge, split$"):
        alerts.move("confirmed", "confirm", incidents.MOVES, "incident")
