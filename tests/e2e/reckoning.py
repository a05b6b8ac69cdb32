"""What a client was answered, held against the history and against the processes that were lost."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from tests.e2e.caller import Asked
from tests.e2e.losing import Loss
from tests.loop.world import MODEL
from watcher.history import timeline
from watcher.ports import Line
from watcher.values import Verb


def lost_by(losses: Sequence[Loss], asked: Iterable[Asked]) -> Iterator[tuple[Loss, list[Asked]]]:
    """Each loss with the requests that failed because of it: those that ended after it, and before the next one."""
    failed = [one for one in asked if one.failed]
    ends = [*(loss.at for loss in losses[1:]), float("inf")]
    for loss, until in zip(losses, ends, strict=True):
        yield loss, [one for one in failed if loss.at <= one.ended < until]


def unexplained(lines: Sequence[Line], asked: Iterable[Asked]) -> list[Asked]:
    """Answers by a version that the history does not have live at that time.

    From a line that says what is live until the next intent to change it, only that may answer; from the intent to the
    next such line, what it names as well.
    """
    since: list[float] = []
    live: list[frozenset[int]] = []
    spans = {span.since: span.weights for span in timeline(lines, MODEL)}
    for line in lines:
        told = line.data or {}
        if line.event == "live":
            now = frozenset(int(version) for version in spans[line.at])
        elif line.event == "intent" and told["verb"] == Verb.SHIFT:
            now = (live[-1] if live else frozenset()) | {_version_of(name) for name in told["weights"]}
        else:
            continue
        since.append(line.at)
        live.append(now)

    def during(one: Asked) -> frozenset[int]:
        first, last = max(bisect_right(since, one.sent) - 1, 0), bisect_left(since, one.ended)
        return frozenset().union(*live[first:last])

    return [one for one in asked if not one.failed and one.version not in during(one)]


def launches(lines: Sequence[Line], losses: Sequence[Loss]) -> Mapping[tuple[int | None, int], int]:
    """How often a version was launched after so many losses."""
    ends = [loss.at for loss in losses]
    return Counter(
        (line.version, bisect_right(ends, line.at))
        for line in lines
        if line.event == "done" and (line.data or {})["verb"] == Verb.LAUNCH
    )


def summary(losses: Sequence[Loss], asked: Sequence[Asked]) -> str:
    """A table: what was lost, and what it cost."""
    kinds = list(dict.fromkeys(loss.kind for loss in losses))
    found = list(lost_by(losses, asked))
    rows = [f"{len(asked)} requests, {sum(one.failed for one in asked)} lost", ""]
    rows.append(f"{'lost':<12}{'times':>6}{'requests':>10}{'most at once':>14}{'median s':>10}{'worst s':>9}  answers")
    for kind in kinds:
        mine = [(loss, failed) for loss, failed in found if loss.kind == kind]
        seconds = [loss.seconds for loss, _ in mine]
        counts = [len(failed) for _, failed in mine]
        how = Counter(one.outcome for _, failed in mine for one in failed)
        rows.append(
            f"{kind:<12}{len(mine):>6}{sum(counts):>10}{max(counts):>14}{median(seconds):>10.2f}{max(seconds):>9.2f}"
            f"  {', '.join(f'{number} {outcome}' for outcome, number in sorted(how.items()))}"
        )
    return "\n".join(rows)


def _version_of(release: str) -> int:
    found = re.search(r"-v(\d+)-[0-9a-f]{6}$", release)
    assert found is not None, release
    return int(found[1])
