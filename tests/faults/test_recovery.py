"""Recovery times: how long people wait, and faults that come before the last one is over."""

from tests.faults.recovery import Fault, Recovery, Watch, birth_mark, born, recoveries


def test_faults_in_a_row_count_from_the_last() -> None:
    watch = Watch("", "", 2, born)
    watch.seen[0] = [(3, 1.5), (12, 10), (30, 22), (31, 29)]
    watch.seen[1] = [(2, 1.5), (11, 10), (29, 29)]
    faults = [Fault(at, "kill") for at in (1.0, 9.0, 20.0, 24.0)] + [Fault(28.0, "continue"), Fault(40.0, "kill")]
    faults.insert(1, Fault(2.0, "kill sink", counted=False))
    assert recoveries(watch, faults) == [
        Recovery("kill", 3, 2.0, 3.0, 3.0, never=1),
        Recovery("kill in a row", 1, 7.0, 7.0, 7.0, never=0),
        Recovery("continue", 1, 3.0, 3.0, 3.0, never=0),
    ]


def test_birth_is_read_back() -> None:
    assert born(b"\x02" + birth_mark(1795235594.568).encode() + b"x") == 1795235594.568
    assert born(b"none") is None
