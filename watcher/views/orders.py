"""Which orders make sense now; the command line refuses by the same rules by which the page shows them."""

from __future__ import annotations

from collections.abc import Callable

from watcher.text import plain
from watcher.values import Call, Gone, Marks, Version

BAD = {
    Call.ROLLED_BACK: "was rolled back itself",
    Call.DISPLACED: "was displaced by a person's order",
    Call.UNMET: "could not be served when it was ordered",
}


def back_to(marks: Marks, version: Callable[[int], Version | Gone]) -> Version | str:
    """The version that `rollback` orders, or in one sentence without its full stop why there is none."""
    name = plain(marks.name)
    if marks.challenger is not None and marks.challenger != marks.champion:
        return (
            f"{name} v{marks.challenger} is being rolled out: `watcher abort {name}` takes it back to the champion"
            f" v{marks.champion}"
        )
    if marks.problem is not None:
        return f"Nobody knows what served {name} before: {plain(marks.problem)}"
    previous = marks.crown.previous if marks.crown else None
    if previous is None or previous == marks.champion:
        return f"Nothing served {name} before its champion, as far as its crown tag says"
    found = version(previous)
    if isinstance(found, Gone):
        return f"{name} v{previous} served before, and does not exist any more"
    if found.call in BAD:
        return f"{name} v{previous} served before, and {BAD[found.call]}"
    return found
