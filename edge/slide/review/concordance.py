"""How far digital readings agree with manual ones (dastidar2020 5.3, tables 3 and 4)."""

import itertools
import math
from collections.abc import Sequence

import msgspec

from parfocal.edge.errors import EdgeError
from parfocal.edge.slide.review.sheet import Reading
from parfocal.edge.words import counted

MANUAL = "manual"
Z_95 = 1.959963984540054


class ConcordanceRefused(EdgeError):
    """The readings do not say what is compared with what. Correct the table."""


class Share(msgspec.Struct, frozen=True):
    """`count` of `n` cases, with the 95 % interval of the share (Wilson), each 0 to 1."""

    count: int
    n: int
    share: float
    low: float
    high: float


class MethodConcordance(msgspec.Struct, frozen=True):
    """One line of the tables: one observer's readings by one method, against the same observer's manual ones.

    `surpassed` are among `concurrences`: the digital reading found what the manual one did, and more.
    """

    observer: str
    method: str
    concurrences: Share
    non_concurrences: int
    surpassed: int
    differing: tuple[str, ...] = ()


class ObserverAgreement(msgspec.Struct, frozen=True):
    """How often two observers found exactly the same on the same slides by the same method."""

    first: str
    second: str
    method: str
    agreeing: Share


class ConcordanceReport(msgspec.Struct, frozen=True):
    """Both tables. `unmatched` readings, of `unmatched_slides`, have no manual one of the same slide and observer."""

    methods: tuple[MethodConcordance, ...]
    observers: tuple[ObserverAgreement, ...]
    unmatched: int = 0
    unmatched_slides: tuple[str, ...] = ()


def concordance(readings: Sequence[Reading]) -> ConcordanceReport:
    """Compare every reading with the manual one of the same slide and observer.

    It concurs if it found all that the manual one found; if it found more, it surpassed it. Otherwise it does not
    concur (dastidar2020 5.3). Raises ConcordanceRefused.
    """
    by_key: dict[tuple[str, str, str], Reading] = {}
    for reading in readings:
        key = (reading.slide, reading.observer, reading.method.lower())
        if key in by_key:
            raise ConcordanceRefused(
                f"{reading.observer} has read {reading.slide} twice by {reading.method}: keep one of the rows"
            )
        by_key[key] = reading
    if not any(method == MANUAL for _, _, method in by_key):
        raise ConcordanceRefused(f"no reading has the method {MANUAL!r}: there is nothing to compare with")
    digital = [reading for reading in by_key.values() if reading.method.lower() != MANUAL]
    paired = [(r, by_key[key]) for r in digital if (key := (r.slide, r.observer, MANUAL)) in by_key]
    alone = [r.slide for r in digital if (r.slide, r.observer, MANUAL) not in by_key]
    for reading, manual in paired:
        _check_columns(reading, manual)
    groups: dict[tuple[str, str], list[tuple[Reading, Reading]]] = {}
    for reading, manual in paired:
        groups.setdefault((reading.observer, reading.method), []).append((reading, manual))
    return ConcordanceReport(
        methods=tuple(_line(observer, method, pairs) for (observer, method), pairs in groups.items()),
        observers=tuple(_agreements(list(by_key.values()))),
        unmatched=len(alone),
        unmatched_slides=tuple(dict.fromkeys(alone)),
    )


def _check_columns(reading: Reading, manual: Reading) -> None:
    """Refuse a reading that did not look for what the manual one did, or calls it otherwise.

    Raises ConcordanceRefused.
    """
    lacks = manual.looked_for - reading.looked_for
    if reading.looked_for and lacks:
        raise ConcordanceRefused(
            f"the reading of {reading.slide} by {reading.observer}, {reading.method}, has no column for "
            f"{', '.join(sorted(lacks))}, which the manual one has: call the columns alike, or add the missing one"
        )


def wilson(count: int, n: int) -> Share:
    """The share of `count` in `n` with its 95 % interval (Wilson 1927). Raises ValueError for no case at all."""
    if not 0 <= count <= n or n < 1:
        raise ValueError(f"{count} of {counted(n, 'case')} is not a share")
    share = count / n
    middle = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    return Share(count, n, share, max(0.0, middle - half), min(1.0, middle + half))


def _line(observer: str, method: str, pairs: list[tuple[Reading, Reading]]) -> MethodConcordance:
    concurring = [reading.findings >= manual.findings for reading, manual in pairs]
    return MethodConcordance(
        observer,
        method,
        wilson(sum(concurring), len(pairs)),
        len(pairs) - sum(concurring),
        sum(reading.findings > manual.findings for reading, manual in pairs),
        tuple(reading.slide for (reading, _), concurs in zip(pairs, concurring, strict=True) if not concurs),
    )


def _agreements(readings: list[Reading]) -> list[ObserverAgreement]:
    observers = list(dict.fromkeys(reading.observer for reading in readings))
    methods = list(dict.fromkeys(reading.method.lower() for reading in readings))
    found = {(r.slide, r.observer, r.method.lower()): r.findings for r in readings}
    slides = list(dict.fromkeys(reading.slide for reading in readings))
    lines = []
    for method, (first, second) in itertools.product(methods, itertools.combinations(observers, 2)):
        both = [
            (found[slide, first, method], found[slide, second, method])
            for slide in slides
            if (slide, first, method) in found and (slide, second, method) in found
        ]
        if both:
            lines.append(
                ObserverAgreement(first, second, method, wilson(sum(a == b for a, b in both), len(both)))
            )
    return lines
