"""What was measured is kept, whatever part of it is measured again."""

import json
from pathlib import Path

from tests.faults.__main__ import DOC, KEPT
from tests.faults.compare import Verdict
from tests.faults.report import BEGIN, END, markdown, merge, report, write_doc
from tests.faults.run import Result


def test_a_part_that_runs_again_takes_its_own_place(tmp_path: Path) -> None:
    file, page = tmp_path / "results" / "faults.json", tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    whole = (Result("kills", "Kills", 7, events=1), Result("kills", "Kills", 8, events=2), Result("away", "Away", 7))
    merge(file, [each.figures() for each in whole])
    again = Result("kills", "Kills", 7, events=3000, verdicts=[Verdict("all", 3000, 3000)], settings=4, frames=5)
    later = Result("hour", "Hour", 7, reference=True, dead_letters={"KeyError": 1})
    every = merge(file, [again.figures(), later.figures()])
    write_doc(page, every)
    assert json.loads(file.read_text()) == json.loads(json.dumps(report(every)))
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][1:]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("| Kills", "3,000", "exact |"),
        ("| Kills, seed 8", "2", "WRONG |"),
        ("| Away", "0", "WRONG |"),
        ("| Hour", "0", "for comparison |"),
    ]
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n|")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "In `kills`: 5 committed frames, 4 changes of settings" in text
    assert "Dead letters of `hour`: 1 KeyError." in text


def test_the_page_shows_what_is_kept() -> None:
    """All but the machine, which is that of whoever asks."""
    shown = DOC.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    made = markdown(json.loads(KEPT.read_text())["results"])

    def measured(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("Machine: ")]

    assert measured(shown) == measured(made)
