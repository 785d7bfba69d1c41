"""Tables 3 and 4 of the paper from readings that give them, and the rules behind (dastidar2020 5.3)."""

import pytest

from parfocal.edge.slide.review.concordance import ConcordanceRefused, concordance, wilson
from parfocal.edge.slide.review.grades import grade_of, overall
from parfocal.edge.slide.review.sheet import Reading

COCCI, BACILLI = "gram_positive_cocci", "gram_negative_bacilli"
# Observer, method, slides, concurrences, non concurrences, surpassed, per cent: dastidar2020 tables 3 and 4, but for
# the per cent of 24 of 29, which is 82.76 and printed as 82.75.
TABLES = (
    ("observer 1", "automated 40x", 32, 28, 4, 6, 87.5),
    ("observer 1", "manual 40x", 29, 24, 5, 5, 82.76),
    ("observer 1", "manual 100x", 29, 23, 6, 5, 79.31),
    ("observer 2", "automated 40x", 32, 30, 2, 3, 93.75),
    ("observer 2", "manual 40x", 29, 26, 3, 4, 89.66),
    ("observer 2", "manual 100x", 29, 27, 2, 4, 93.10),
)


def reading(slide: int, observer: str, method: str, *findings: str) -> Reading:
    return Reading(f"S{slide}", observer, method, frozenset(findings))


def study() -> list[Reading]:
    """32 slides, two observers who find different things in 8 of them by hand, and three digital methods."""
    manual = {("observer 1", k): k < 16 for k in range(32)}
    manual |= {("observer 2", k): k < 12 or 16 <= k < 20 for k in range(32)}
    readings = [reading(k, who, "manual", *[COCCI] * found) for (who, k), found in manual.items()]
    for observer, method, n, _, missed, surpassed, _ in TABLES:
        positive = [k for k in range(n) if manual[observer, k]]
        negative = [k for k in range(n) if not manual[observer, k]]
        found = {*positive[missed:], *negative[:surpassed]}
        readings += [reading(k, observer, method, *[COCCI] * (k in found)) for k in range(n)]
    return readings


def test_the_tables_of_the_paper_come_out() -> None:
    report = concordance(study())
    lines = [
        (
            line.observer,
            line.method,
            line.concurrences.n,
            line.concurrences.count,
            line.non_concurrences,
            line.surpassed,
            round(100 * line.concurrences.share, 2),
        )
        for line in report.methods
    ]
    assert lines == [*TABLES]
    by_hand = next(pair for pair in report.observers if pair.method == "manual")
    assert (by_hand.agreeing.count, by_hand.agreeing.n) == (24, 32)
    assert len(report.methods[0].differing) == 4


@pytest.mark.parametrize(
    ("manual", "digital", "concurs", "surpasses"),
    [
        ({COCCI}, {COCCI}, True, False),
        ({COCCI}, {COCCI, BACILLI}, True, True),
        (set(), {BACILLI}, True, True),
        (set(), set(), True, False),
        ({COCCI}, set(), False, False),
        ({COCCI}, {BACILLI}, False, False),  # it saw more, but missed what the manual one saw
    ],
)
def test_a_reading_concurs_if_it_missed_nothing(
    manual: set[str], digital: set[str], concurs: bool, surpasses: bool
) -> None:
    readings = [reading(1, "o", "Manual", *manual), reading(1, "o", "automated", *digital)]
    (line,) = concordance(readings).methods
    assert (line.concurrences.count, line.non_concurrences) == (int(concurs), int(not concurs))
    assert line.surpassed == int(surpasses)


def test_readings_without_a_manual_one_of_the_same_observer_are_left_out_and_counted() -> None:
    readings = [reading(1, "a", "manual"), reading(1, "b", "automated"), reading(2, "a", "automated")]
    report = concordance(readings)
    assert report.methods == ()
    assert report.unmatched == 2
    assert report.unmatched_slides == ("S1", "S2")


def test_a_reading_that_did_not_look_for_what_the_manual_one_did_is_not_compared() -> None:
    manual = Reading("A1", "X", "manual", frozenset({"cocci"}), frozenset({"cocci"}))
    digital = Reading("A1", "X", "automated", frozenset(), frozenset({"gram_positive_cocci"}))
    with pytest.raises(
        ConcordanceRefused, match="by X, automated, has no column for cocci, which the manual"
    ):
        concordance([manual, digital])


def test_a_reading_twice_or_none_by_hand_is_refused() -> None:
    with pytest.raises(ConcordanceRefused, match="a has read S1 twice by manual"):
        concordance([reading(1, "a", "manual"), reading(1, "a", "manual", COCCI)])
    with pytest.raises(ConcordanceRefused, match="nothing to compare with"):
        concordance([reading(1, "a", "automated")])


# By scipy.stats.binomtest(count, n).proportion_ci(0.95, method="wilson"): its import takes longer than all these tests.
WILSON = (
    (28, 32, 0.7193169451834978, 0.9502986561251991),
    (24, 29, 0.6545156010980476, 0.9240214274710877),
    (0, 5, 0.0, 0.43448246478317476),
    (5, 5, 0.5655175352168251, 1.0),
    (1, 1, 0.20654931437723745, 1.0),
    (300, 1000, 0.27240684247700486, 0.32912386091721724),
)


@pytest.mark.parametrize(("count", "n", "low", "high"), WILSON)
def test_the_interval_is_that_of_wilson(count: int, n: int, low: float, high: float) -> None:
    found = wilson(count, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(
    ("what", "number", "grade"),
    [
        ("cells", 0, "0"),
        ("cells", 0.3, "1+"),
        ("cells", 1, "2+"),
        ("cells", 5, "2+"),
        ("cells", 6, "3+"),
        ("cells", 10, "3+"),
        ("cells", 10.5, "4+"),
        ("bacteria", 0.9, "1+"),
        ("bacteria", 2, "2+"),
        ("bacteria", 10, "2+"),
        ("bacteria", 11, "3+"),
        ("bacteria", 50, "3+"),
        ("bacteria", 51, "4+"),
    ],
)
def test_the_grades_are_those_of_table_2(what: str, number: float, grade: str) -> None:
    assert grade_of(what, number) == grade  # type: ignore[arg-type]


def test_a_slide_is_graded_over_all_fields() -> None:
    assert overall("cells", ["0", "2", "", "1"]) == "2+"  # one in a field on average
    assert overall("cells", ["0", "0", "1", " "]) == "1+"
    assert overall("bacteria", ["1+", "3+", "3+", "4+"]) == "3+"
    assert overall("bacteria", ["1+", "3+"]) == "3+"
    assert overall("bacteria", ["", " "]) is None
    with pytest.raises(ValueError, match="use one of them"):
        overall("cells", ["1+", "7"])
    with pytest.raises(ValueError, match="row 2: cells is 'many', which is neither"):
        overall("cells", ["many"])
