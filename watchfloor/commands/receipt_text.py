"""How the receipt of a decision looks to people. Times are in UTC."""

from collections.abc import Iterator, Mapping, Sequence
from math import exp
from typing import Any

from rich.text import Text

from models.anomaly.explain import short
from models.counterfactual import SUBJECT, TENANT
from models.fraud import rules
from models.fraud.audit import DRAWN, PROPENSITY
from watchfloor.commands.alert_text import COLOURS, facts, moment
from watchfloor.explained import EXPLAINED, LOG_ODDS, Explained
from watchfloor.receipt import flagged

Record = Mapping[str, Any]

LEAST = 0.005
"""Log-odds, or probability, under which a contribution is not worth a line."""
MOST_SCORES = 10


def receipt_story(made: Record) -> Iterator[Text]:
    """Everything about a prediction of a model that is EXPLAINED."""
    prediction = made["prediction"]
    about = EXPLAINED[prediction["model"]]
    yield _title(prediction, f"probability of {about.what} {prediction['probability']:.6g}{_interval(prediction)}")
    yield from facts(
        {
            **_head(prediction),
            "event": "not stored any more" if made["event"] is None else about.event(made["event"]),
            "label sets": _sets(prediction),
            "cuts": ", ".join(f"{name.upper()} from {value:.4g}" for name, value in made["cuts"].items()),
            "certified": "yes" if prediction["certified"] else None,
            "advice": prediction["advice"],
            "hard rule": "at least HIGH, whatever the score" if rules.LIMIT in prediction["detail"] else None,
            "held out": "told nothing, to learn what comes without advice" if prediction["held_out"] else None,
            "audit": _audit(prediction["detail"]),
            "scored by": f"{prediction['model_version']}, calibration {prediction['calibration_version']}, "
            f"{prediction['feature_set']}, settings up to {prediction['control_offset']}",
            "activated": _activated(made["activated"]),
            "fallback": prediction["fallback_reason"],
            "label": _label(made["label"]),
        }
    )
    yield from _shares(about, made["contributions"], made["features"])
    yield _heading("What was measured")
    for each in made["features"]:
        why = f" (missing where: {each['missing']})" if each["value"] is None else ""
        shown = _value(each["unit"], each["value"])
        yield Text.assemble(f"  {each['name']:<29}", (f"{shown:<14}", "bold"), (f"  {each['doc']}{why}", "dim"))
    yield _heading("What would have cleared it")
    yield Text(_otherwise(about, made))
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
        "\nContributions, counterfactuals and replays are for predictions of "
        f"{', '.join(EXPLAINED)}. `watchfloor alerts show` has the evidence of an alert."
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
    risk, decision = prediction["risk_level"], prediction["decision"]
    # Where a model opens nothing by itself, what is HIGH is cleared all the same.
    said = "" if decision == "clear" and flagged(prediction) else f"{decision} "
    return Text.assemble((f"{risk} ", COLOURS.get(risk, "bold")), (said, "bold"), about)


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


def _activated(activated: Record | None) -> str | None:
    if activated is None:
        return None
    return f"{moment(activated['at'])} for {activated['tenant_id']} by {activated['by']}: {activated['reason']}"


def _label(label: Record | None) -> str | None:
    if label is None:
        return None
    no, yes = EXPLAINED[label["model"]].said if label["model"] in EXPLAINED else ("no", "yes")
    said = {True: yes, False: no, None: "could not be told"}[label["label"]]
    by = f" by {label['decided_by']}" if label["decided_by"] else ""
    return f"{said}, {label['source']}{by} at {moment(label['decided_at'])}"


def _shares(about: Explained, contributions: Record | None, features: Sequence[Record]) -> Iterator[Text]:
    of_odds = contributions is None or contributions["unit"] == LOG_ODDS
    yield _heading("What counted, in log-odds before calibration" if of_odds else "What counted, in probability")
    if contributions is None:
        yield Text("Not logged with the prediction, and the version that scored is not there to say.")
        return
    measured = {each["name"]: each for each in features}
    for name, share in contributions["shares"].items():
        if abs(share) < LEAST:
            continue
        way = f"for {about.what}" if share > 0 else "against"
        odds = f", odds {'x' if share > 0 else '/'} {exp(abs(share)):.3g}" if of_odds else ""
        feature = measured.get(name)
        yield Text.assemble(
            ("  " + f"{share:+.3f}".rjust(8), "bold"),
            f"  {way}{odds}: {name}",
            "" if feature is None else f" is {_value(feature['unit'], feature['value'])}",
            ("" if feature is None else f" ({feature['doc']})", "dim"),
        )
    yield Text.assemble(("  " + f"{contributions['base']:+.3f}".rjust(8), "dim"), "  where every event begins")


def _value(unit: str, value: float | None) -> str:
    if value is None:
        return "missing"
    if unit == "0/1":
        return "yes" if value else "no"
    return f"{short(value)} {unit}" if unit not in ("", "share") else short(value)


def _otherwise(about: Explained, made: Record) -> str:
    change = made["counterfactual"]
    if not flagged(made["prediction"]):
        return f"It was {about.cleared}."
    if change is None:
        return f"Nobody can say: {made['replay']['why']}."
    if not change["found"]:
        return "No single group of features alone would have."
    units = {each["name"]: each["unit"] for each in made["features"]}
    values = " and ".join(
        f"{name} {_value(units[name], each['would_be'])} instead of {_value(units[name], each['was'])}"
        for name, each in change["values"].items()
    )
    group = f"the {change['group']}"
    whose = {SUBJECT: about.one, TENANT: about.many}.get(change["source"])
    begin = f"With nothing known of {group}"
    if whose is not None:
        begin = f"With {group} as usual for {whose}, or part of the way there"
    return f"{begin}: {values}. The probability would have been {change['probability']:.4g}, {change['risk_level']}."


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
