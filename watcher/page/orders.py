"""The exact command of each order that makes sense now, and how to do the same with plain MLflow. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from watcher.registry.tags import CHALLENGER, CHAMPION, HOLD, REJUDGE
from watcher.text import plain
from watcher.values import FINAL, Call, Gone, Observed, Status, Verdict, Version
from watcher.views.orders import back_to
from watcher.views.show import Planned

AWAITS_APPROVAL = frozenset({"approval_missing", "approval_expired"})


@dataclass(frozen=True, slots=True)
class Order:
    """What it does in a few words, what to type, and the same in Python with MLflow alone (None where it has none)."""

    order: str
    does: str
    command: str
    mlflow: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """How the command line is called for these settings."""

    watcher: str = "watcher"

    def about_model(self, plan: Planned) -> tuple[Order, ...]:
        """The orders that make sense for a model as it is."""
        marks, versions = plan.snapshot.marks, plan.snapshot.versions
        name, orders = marks.name, []
        if plan.snapshot.paused:
            orders.append(Order("resume", "End the pause of the whole watcher", self._typed("resume")))
        if not marks.exists:
            return tuple(orders)
        seen = {view.target.name: view.seen for view in plan.snapshot.targets}
        orders += [
            self._adopt(name, t, one) for t, one in seen.items() if isinstance(one, Observed) and not one.adopted
        ]
        ending = plan.decision.record.rolled_back != ""
        rolling = marks.challenger is not None and marks.challenger != marks.champion and not ending
        if rolling:
            does = f"End the rollout of v{marks.challenger}; every target goes back"
            orders.append(self._order("abort", does, name, (), "delete_registered_model_alias", CHALLENGER))
        waiting = [verdict.identity.version for verdict in plan.verdicts.values() if _awaits_approval(verdict)]
        orders += [self._approve(plan, name, number) for number in waiting]
        served = plan.snapshot.version(marks.crown.previous) if marks.crown else None
        if plan.snapshot.champion is not None and plan.snapshot.champion.call is Call.UNMET and served is not None:
            does = f"Order v{served.number}, which serves instead"
            alias = (CHAMPION, str(served.number))
            orders.append(self._order("promote", does, name, (served.number,), "set_registered_model_alias", *alias))
        previous = back_to(marks, lambda number: versions.get(number, Gone(number)))
        if isinstance(previous, Version):
            does = f"Go back to v{previous.number}, straight to every target"
            alias = (CHAMPION, str(previous.number))
            orders.append(self._order("rollback", does, name, (), "set_registered_model_alias", *alias))
        if marks.hold is None:
            does = "Let nothing go forward until it is released"
            orders.append(self._order("hold", does, name, (), "set_registered_model_tag", HOLD, "why"))
        else:
            does = "End the hold"
            orders.append(self._order("release", does, name, (), "delete_registered_model_tag", HOLD))
        return tuple(orders)

    def about_version(
        self, version: Version, *, champion: int | None, verdict: Verdict, approval: str | None
    ) -> tuple[Order, ...]:
        """The orders that make sense for one version."""
        name, number, orders = version.identity.name, version.number, []
        if version.status is Status.READY and (number != champion or version.call is Call.UNMET):
            does = f"Serve v{number} on every target at once, without canary"
            call = "set_registered_model_alias"
            orders.append(self._order("promote", does, name, (number,), call, CHAMPION, str(number)))
        if approval is not None and _awaits_approval(verdict):
            orders.append(self._approval(name, number, approval))
        if version.call in FINAL:
            does = f"Clear its verdict ({version.call}) and judge it again"
            call = "set_model_version_tag"
            orders.append(self._order("rejudge", does, name, (number,), call, str(number), REJUDGE, "yes"))
        return tuple(orders)

    def _approve(self, plan: Planned, name: str, number: int) -> Order:
        approval = plan.snapshot.watched.policy.approval
        return self._approval(name, number, approval.tag if approval else "")

    def _approval(self, name: str, number: int, tag: str) -> Order:
        does = f"Approve v{number}: its rollout may start"
        mlflow = ("set_model_version_tag", str(number), tag, "your name")
        return self._order("approve", does, name, (number,), *mlflow)

    def _adopt(self, name: str, target: str, seen: Observed) -> Order:
        serving = next((r.version for r in seen.releases if seen.weights.get(r.name)), None)
        command = self._typed("adopt", f"{name}/{target}", options=("--version", str(serving or "N")))
        return Order("adopt", f"Lend the place {plain(target)}, which serves something already", command)

    def _order(self, order: str, does: str, name: str, more: Iterable[int], method: str, *arguments: str) -> Order:
        given = ", ".join(literal(text) for text in (name, *arguments))
        return Order(
            order,
            does,
            self._typed(order, name, *map(str, more)),
            f"from mlflow import MlflowClient; MlflowClient().{method}({given})",
        )

    def _typed(self, *words: str, options: tuple[str, ...] = ()) -> str:
        command, *arguments = words
        # What starts with a dash would be taken for an option.
        apart = ("--",) if any(word.startswith("-") for word in arguments) else ()
        return " ".join([self.watcher, command, *options, *apart, *(shell(word) for word in arguments)])


def _awaits_approval(verdict: Verdict) -> bool:
    return any(f.call is Call.WAITS and f.reason in AWAITS_APPROVAL for f in verdict.findings)


def shell(text: str) -> str:
    """One word for a POSIX shell; where something in it could not be seen, in bash's `$'…'` with escapes."""
    if plain(text, len(text)) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def literal(text: str) -> str:
    """A string of Python, in which what could not be seen is escaped."""
    return repr(text) if plain(text, len(text)) == text else ascii(text)


def _escaped(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    if plain(character) == character and character != " ":
        return character
    return character if character == " " else f"\\U{ord(character):08x}"
