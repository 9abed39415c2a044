"""How the receipt of a decision looks to people. Times are in UTC."""

from collections.abc import Iterator, Mapping
from math import exp
from typing import Any

from rich.text import Text

from models.anomaly.explain import short
from models.fraud.artifact import NAME
from models.fraud.audit import DRAWN, PROPENSITY
from models.fraud.features import FEATURES
from streams.fraud_scoring import LABELS
from watchfloor.commands.alert_text import COLOURS, facts, moment

Record = Mapping[str, Any]

LEAST = 0.005
"""Log-odds under which a contribution is not worth a line."""
MOST_SCORES = 10
UNITS = {feature.name: feature.unit for feature in FEATURES}
DOCS = {feature.name: feature.doc for feature in FEATURES}
SOURCES = {
    "person": "With {} as usual for this person, or part of the way there",
    "tenant": "With {} as usual for this tenant's people, or part of the way there",
    "missing": "With nothing known of {}",
}


def receipt_story(made: Record) -> Iterator[Text]:
    """Everything about a prediction of fraud."""
    prediction, contributions = made["prediction"], made["contributions"]
    yield _title(prediction, f"probability of fraud {prediction['probability']:.6g}{_interval(prediction)}")
    yield from facts(
        {
            **_head(prediction),
            "event": _event(made["event"]),
            "label sets": _sets(prediction),
            "cuts": ", ".join(f"{name.upper()} from {value:.4g}" for name, value in made["cuts"].items()),
            "certified": "yes" if prediction["certified"] else None,
            "hard rule": prediction["advice"] and f"{prediction['advice']}: at least HIGH, whatever the score",
            "audit": _audit(prediction["detail"]),
            "scored by": f"{prediction['model_version']}, calibration {prediction['calibration_version']}, "
            f"{prediction['feature_set']}, settings up to {prediction['control_offset']}",
            "activated": _activated(made["activated"]),
            "fallback": prediction["fallback_reason"],
            "label": _label(made["label"]),
        }
    )
    yield _heading("What counted, in log-odds before calibration")
    if contributions is None:
        yield Text("Not logged with the prediction, and the version that scored is not there to say.")
    else:
        values = {each["name"]: each["value"] for each in made["features"]}
        for name, share in contributions["log_odds"].items():
            if abs(share) >= LEAST:
                yield _counted(name, share, values.get(name))
        yield Text.assemble(("  " + f"{contributions['base']:+.3f}".rjust(8), "dim"), "  where every event begins")
    yield _heading("What was measured")
    for each in made["features"]:
        why = f" (missing where: {each['missing']})" if each["value"] is None else ""
        shown = _value(each["name"], each["value"])
        yield Text.assemble(f"  {each['name']:<29}", (f"{shown:<14}", "bold"), (f"  {each['doc']}{why}", "dim"))
    yield _heading("What would have cleared it")
    yield Text(_otherwise(prediction, made["counterfactual"], made["replay"]))
    yield _heading("Scored again")
    yield from _replayed(prediction, made["replay"])


def stored_story(made: Record) -> Iterator[Text]:
    """What was stored of a prediction of a model that has no receipt of its own."""
    prediction = made["prediction"]
    yield _title(prediction, f"{prediction['model']} of {prediction['subject']}: {prediction['probability']:.6g}")
    yield from facts(
        {
            **_head(prediction),
            "scored by": f"{prediction['model_version']}, settings up to {prediction['control_offset']}",
            "advice": prediction["advice"],
            "fallback": prediction["fallback_reason"],
            "label": _label(made["label"]),
        }
    )
    yield _heading("Scores")
    scores = sorted(prediction["detail"].items(), key=lambda each: (-each[1], each[0]))
    for name, value in scores[:MOST_SCORES]:
        yield Text(f"  {value:<10.4g}{name}")
    if len(scores) > MOST_SCORES:
        yield Text(f"  and {len(scores) - MOST_SCORES} more (--json)", style="dim")
    yield Text(
        "\nContributions, counterfactuals and replays are for predictions of fraud. `watchfloor alerts show` has the "
        "evidence of an alert."
    )


def _head(prediction: Record) -> dict[str, str]:
    return {
        "prediction": prediction["prediction_id"],
        "tenant": prediction["tenant_id"],
        "about": f"{prediction['subject']}, event {prediction['event_id']}",
        "happened": moment(prediction["event_time"]),
        "scored": f"{moment(prediction['record_time'])}, slot {prediction['slot']}, {prediction['scored_by']}",
    }


def _title(prediction: Record, about: str) -> Text:
    risk = prediction["risk_level"]
    return Text.assemble((f"{risk} ", COLOURS.get(risk, "bold")), (f"{prediction['decision']} ", "bold"), about)


def _heading(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _interval(prediction: Record) -> str:
    low, high = prediction["interval_low"], prediction["interval_high"]
    if low is None:
        return ", without an interval"
    behind = prediction["calibration_score"]
    cases = "" if behind is None else f", {behind:,.0f} calibration cases behind it"
    return f" ({low:.6g} to {high:.6g}{cases})"


def _sets(prediction: Record) -> str | None:
    if prediction["calibration_score"] is None:
        return None
    return ", ".join(
        f"{level} %: {' or '.join(prediction[f'label_set_{level}']) or 'neither'}" for level in (90, 95, 99)
    )


def _audit(detail: Record) -> str | None:
    if PROPENSITY not in detail:
        return None
    return f"{'drawn' if DRAWN in detail else 'not drawn'}, with probability {detail[PROPENSITY]:g}"


def _event(event: Record | None) -> str:
    if event is None:
        return "not stored any more"
    at = "no fix"
    if event["latitude"] is not None:
        at = f"fix {event['latitude']:.5f}, {event['longitude']:.5f}"
    device = f"device {event['device_id']}" if event["device_id"] else "no device"
    return f"{event['kind']} at {event['site_id']}, {at}, {device}"


def _activated(activated: Record | None) -> str | None:
    if activated is None:
        return None
    return f"{moment(activated['at'])} for {activated['tenant_id']} by {activated['by']}: {activated['reason']}"


def _label(label: Record | None) -> str | None:
    if label is None:
        return None
    genuine, fraud = LABELS if label["model"] == NAME else ("no", "yes")
    said = {True: fraud, False: genuine, None: "could not be told"}[label["label"]]
    by = f" by {label['decided_by']}" if label["decided_by"] else ""
    return f"{said}, {label['source']}{by} at {moment(label['decided_at'])}"


def _counted(name: str, share: float, value: float | None) -> Text:
    for_, times = ("for fraud", exp(share)) if share > 0 else ("against", exp(-share))
    what = "is missing" if value is None else f"is {_value(name, value)}"
    return Text.assemble(
        ("  " + f"{share:+.3f}".rjust(8), "bold"),
        f"  {for_}, odds {'x' if share > 0 else '/'} {times:.3g}: {name} {what}",
        (f" ({DOCS.get(name, '')})", "dim"),
    )


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "missing"
    unit = UNITS.get(name, "")
    if unit == "0/1":
        return "yes" if value else "no"
    return f"{short(value)} {unit}" if unit not in ("", "share") else short(value)


def _otherwise(prediction: Record, change: Record | None, replay: Record) -> str:
    if prediction["decision"] == "clear":
        return "It was cleared."
    if change is None:
        return f"Nobody can say: {replay['why']}."
    if not change["found"]:
        return "No single group of features alone would have."
    values = " and ".join(
        f"{name} {_value(name, each['would_be'])} instead of {_value(name, each['was'])}"
        for name, each in change["values"].items()
    )
    return (
        f"{SOURCES[change['source']].format('the ' + change['group'])}: {values}. "
        f"The probability would have been {change['probability']:.4g}, {change['risk_level']}."
    )


def _replayed(prediction: Record, replay: Record) -> Iterator[Text]:
    if replay["state"] == "not possible":
        yield Text(f"Not possible: {replay['why']}", style="yellow")
    elif replay["state"] == "same":
        yield Text(
            f"{prediction['model_version']} gives the same score of the logged features, to the last bit.",
            style="green",
        )
    else:
        yield Text(f"{prediction['model_version']} DOES NOT give the logged score:", style="bold red")
        for name, each in replay["differing"].items():
            yield Text(f"  {name}: logged {each['logged']!r}, now {each['now']!r}")
