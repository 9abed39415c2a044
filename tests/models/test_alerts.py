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
    ("candidate", "join"): "candidate",
    ("candidate", "confirm"): "confirmed",
    ("candidate", "close"): "closed",
    ("confirmed", "join"): "confirmed",
    ("confirmed", "close"): "closed",
}


@pytest.mark.parametrize(
    ("state", "action"), list(product(("none", "open", "acknowledged", "resolved", "lost"), ALERT_ACTIONS))
)
def test_moves_of_an_alert(state: str, action: str) -> None:
    expected = ALERT.get((state, action))
    if expected is None:
        with pytest.raises(alerts.MoveRefused, match=f"cannot {action} an alert that is {state}; possible: "):
            alerts.move(state, action)
    else:
        assert alerts.move(state, action) == expected


@pytest.mark.parametrize(
    ("state", "action"),
    list(product(("none", "candidate", "confirmed", "closed", "lost"), ("open", "join", "confirm", "close", "split"))),
)
def test_moves_of_an_incident(state: str, action: str) -> None:
    expected = INCIDENT.get((state, action))
    if expected is None:
        with pytest.raises(alerts.MoveRefused, match=f"cannot {action} an incident that is {state}; possible: "):
            alerts.move(state, action, incidents.MOVES, "incident")
    else:
        assert alerts.move(state, action, incidents.MOVES, "incident") == expected


def test_a_person_is_told_what_people_can_do() -> None:
    with pytest.raises(alerts.MoveRefused, match=r"possible: comment, verdict$"):
        alerts.move("resolved", "acknowledge")
