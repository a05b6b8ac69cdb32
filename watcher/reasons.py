"""Why: the closed list of reasons. `python -m watcher.reasons` prints it as the page docs/reasons.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of what a code means, and one of what the operator does."""

    code: str
    sentence: str
    remedy: str


JUDGING: tuple[Reason, ...] = (
    Reason("beats_champion", "No rule objects, and the primary metric is better than the champion's.", "Nothing."),
    Reason("first_version", "No rule objects, and nothing was ever champion of this model.", "Nothing."),
    Reason("no_objection", "The rule lets the version pass.", "Nothing."),
    Reason("not_in_policy", "The policy does not ask for what the rule checks.", "Nothing."),
    Reason(
        "no_champion", "The rule compares with the champion, and nothing was ever champion of this model.", "Nothing."
    ),
    Reason(
        "rests_on_open",
        "The rule objects as things stand, but what it rests on is still awaited.",
        "Look at the rule it names.",
    ),
    Reason(
        "at_or_below_floor",
        "The version's number is at or below the model's floor, so it may not be nominated.",
        "Nothing; `rejudge` lowers the floor beneath the version.",
    ),
    Reason(
        "older_than_champion",
        "The version was made before the current champion.",
        "Nothing; `promote` brings an older version back.",
    ),
    Reason("registration_pending", "The registry has not finished making the version.", "Nothing."),
    Reason("registration_failed", "The registry could not finish making the version.", "Register the model again."),
    Reason(
        "evidence_unread",
        "The version's evidence has not been read yet.",
        "Nothing; if it lasts, see the errors in the history.",
    ),
    Reason(
        "artifacts_unknown",
        "The artifact storage did not answer, so nobody knows whether the artifacts are there.",
        "If it lasts, check the storage and the watcher's permission to read it.",
    ),
    Reason(
        "artifacts_absent",
        "The artifact storage confirms that the version has no artifacts.",
        "Register the model again.",
    ),
    Reason(
        "evidence_unreadable",
        "What lies under the version cannot be read as an MLflow model.",
        "Correct the model's description, then `rejudge`, or register it again.",
    ),
    Reason(
        "flavor_not_allowed",
        "The version has a flavour that the policy does not allow.",
        "Add the flavour to the policy, then `rejudge`.",
    ),
    Reason(
        "signature_missing",
        "The champion has a signature and the version has none, so nobody knows what it accepts.",
        "Log the model with a signature and register it again.",
    ),
    Reason(
        "input_refused",
        "The version does not accept input that the champion accepts.",
        "Keep the field it names as it was, or change the callers first and `promote` the version.",
    ),
    Reason(
        "output_changed",
        "The version returns something else than the champion does.",
        "Keep the output it names as it was, or change the readers first and `promote` the version.",
    ),
    Reason(
        "python_differs",
        "A target has a fixed Python, another one than the version was made with.",
        "Train with the target's Python, or give the target the version's, then `rejudge`.",
    ),
    Reason(
        "requirement_not_met",
        "A target has fixed packages that do not meet one of the version's requirements; it might serve wrong numbers.",
        "Train with the target's packages, or give the target the version's, then `rejudge`.",
    ),
    Reason(
        "evidence_missing",
        "A metric that the policy names is not there yet.",
        "Log it on the version's run or logged model, or correct the name in the policy.",
    ),
    Reason(
        "evidence_overdue",
        "A metric that the policy names did not come within `wait_at_most`.",
        "Log it, or correct the name in the policy, then `rejudge`.",
    ),
    Reason(
        "evidence_untrusted",
        "A metric is not a finite number, or its sources disagree.",
        "Evaluate the version again, then `rejudge`.",
    ),
    Reason(
        "other_data",
        "A compared metric was measured on other data than the champion's.",
        "Evaluate both on the same data, then `rejudge`.",
    ),
    Reason(
        "data_unknown",
        "The policy requires that the data of compared metrics is known, and the version's is not.",
        "Log the metric together with its data set.",
    ),
    Reason(
        "data_never_known",
        "The data of a compared metric did not become known within `wait_at_most`.",
        "Log the metric together with its data set, then `rejudge`.",
    ),
    Reason(
        "champion_evidence_missing",
        "The champion has no evidence yet to be compared with.",
        "Evaluate the champion and log the metric it names on its run or logged model.",
    ),
    Reason(
        "champion_incomparable",
        "The champion's evidence is broken or did not come within `wait_at_most`, so nothing is compared with it.",
        "Evaluate the champion again and log the metric it names, or `promote` the version yourself.",
    ),
    Reason(
        "evaluation_awaited",
        "The version is not scored on the holdout yet.",
        "Nothing; the loop starts it and looks how far it is.",
    ),
    Reason(
        "evaluation_unseen",
        "The evaluator could not be asked, or this host has none.",
        "If it lasts, see the errors in the log; evaluate on a host that can.",
    ),
    Reason(
        "evaluation_failed",
        "The version could not be scored on the holdout, by its own fault.",
        "Correct the cause it names and register the model again, or `rejudge` it.",
    ),
    Reason(
        "champion_not_evaluated",
        "The champion could not be scored on the holdout, so nothing is compared with it.",
        "Correct the cause it names, or `promote` the version yourself.",
    ),
    Reason(
        "evaluation_impossible",
        "The evaluation failed, and neither model is at fault; it is tried again.",
        "Correct the cause it names: the data, the settings or the machine.",
    ),
    Reason(
        "evaluated_on_training_data",
        "The version was trained on the holdout, or on too many of its rows.",
        "Train without the holdout and register the model again.",
    ),
    Reason(
        "slice_absent",
        "A slice of the holdout has a number for one of the two and none for the other.",
        "Read why in the finding, then `rejudge` the version or correct the slice.",
    ),
    Reason(
        "gain_not_certain",
        "The version is better on the holdout, but not with the confidence that the policy asks for.",
        "Nothing; a larger holdout could tell.",
    ),
    Reason("metric_below_floor", "A metric is below the floor that the policy sets.", "Nothing."),
    Reason("metric_above_ceiling", "A metric is above the ceiling that the policy sets.", "Nothing."),
    Reason(
        "guard_violated", "A guarded metric is worse than the champion's by more than the policy allows.", "Nothing."
    ),
    Reason(
        "gain_too_small",
        "The primary metric is not better than the champion's by what the policy asks for.",
        "Nothing.",
    ),
    Reason("outside_window", "The change window is closed.", "Nothing; the finding says when it opens."),
    Reason("too_young", "The version has not reached the policy's minimum age.", "Nothing."),
    Reason(
        "approval_missing",
        "The policy asks for a person's approval and there is none.",
        "`approve` the version, or leave it.",
    ),
    Reason(
        "approval_expired",
        "The approval is older than the policy lets it be.",
        "`approve` the version again with another text.",
    ),
    Reason(
        "held",
        "A person holds the model: nothing goes forward, the champion is still healed.",
        "`release` the hold when ready.",
    ),
)

DECIDING: tuple[Reason, ...] = (
    Reason("nothing_to_do", "Nothing is left to be done, and no version waits.", "Nothing."),
    Reason(
        "champion_missing",
        "No version has the champion mark, and one was crowned before or is served; what is served stays.",
        "Set the champion mark with `promote`.",
    ),
    Reason(
        "champion_gone",
        "The champion mark names a version that does not exist; what is served stays.",
        "Set the champion mark to a version that exists with `promote`.",
    ),
    Reason(
        "model_gone",
        "The registry has no model of this name any more; what is served stays.",
        "If it was renamed or removed on purpose, change the settings.",
    ),
    Reason(
        "crown_unreadable",
        "The model tag `watcher.crown` cannot be read, so neither the floor nor the last champion is known.",
        "Restore the tag from the history, or remove it and set the champion mark with `promote`.",
    ),
    Reason("observed", "A target was seen to serve something else than before.", "Nothing."),
    Reason("stale_read", "The registry answered with an older state than was seen before.", "Nothing."),
    Reason("order_acknowledged", "A person moved the champion mark, and the loop takes it as an order.", "Nothing."),
    Reason("order_met", "Every target was seen whole on the version a person ordered.", "Nothing."),
    Reason(
        "order_unmet",
        "The ordered version cannot be served; every target is back on what it served before.",
        "Move the champion mark to a version that works, or correct the cause and order it again.",
    ),
    Reason("order_retry", "A step towards an order failed and is tried again later.", "Nothing."),
    Reason("drift_launch", "A target has lost the champion's release, so it is started again.", "Nothing."),
    Reason("drift_shift", "A target does not serve the champion whole, so it is moved back.", "Nothing."),
    Reason(
        "target_unseen",
        "A target could not be observed, so nothing is concluded about it.",
        "If it lasts, check the target and the watcher's permission to read it.",
    ),
    Reason(
        "target_refuses",
        "The place belongs to another owner or serves another model.",
        "Name another place in the settings, or remove the other owner's mark by hand.",
    ),
    Reason(
        "not_adopted",
        "The place serves something the watcher did not create, and no person lent it.",
        "Run `adopt` for the target, with the version it serves.",
    ),
    Reason(
        "target_moving",
        "A change of the target was accepted and is not through yet; until then it takes no other.",
        "Nothing, unless it lasts: then look at the target in its own console.",
    ),
    Reason("paused", "A person paused the watcher: it observes and does nothing else.", "`resume` when ready."),
    Reason(
        "advise_only",
        "The model is in the mode `advise`: versions are judged, and none is rolled out.",
        "`promote` a winner.",
    ),
    Reason("young_ledger", "The record of this model is new, and another worker may still be acting.", "Nothing."),
    Reason("leased", "Another worker is taking a step for this model.", "Nothing."),
    Reason("backoff", "A step failed and is tried again later.", "Nothing; if it lasts, correct the cause it names."),
    Reason("evaluating", "A version is being scored beside the champion.", "Nothing."),
    Reason("evaluation_started", "A version that nothing else objects to is scored beside the champion.", "Nothing."),
    Reason("nominated", "The best winner becomes the challenger and its rollout starts.", "Nothing."),
    Reason("confirmed", "The challenger gets its tag `wins`, so that its rollout may go on.", "Nothing."),
    Reason("rejudged", "A person asked for another verdict: the old one and its floor are cleared.", "Nothing."),
    Reason("launch", "A target has no release of the challenger, so one is started without traffic.", "Nothing."),
    Reason("launching", "A release is starting and not ready yet.", "Nothing."),
    Reason(
        "launch_failed",
        "A release of the challenger cannot start.",
        "Read why in the history, correct it, register again.",
    ),
    Reason("probe", "A release of the challenger is asked the example.", "Nothing."),
    Reason("probing", "A release of the challenger was asked, and its answer takes a while.", "Nothing."),
    Reason(
        "probe_failed",
        "A release of the challenger did not answer the example, or another version answered.",
        "Read why in the history, correct it, register again.",
    ),
    Reason(
        "no_example",
        "The version has no input example and the rollout names no usable file, so it cannot be probed.",
        "Log the model with an input example, or name a file in the rollout.",
    ),
    Reason(
        "mirror_step", "A share of the requests is copied to the challenger, and nobody sees its answers.", "Nothing."
    ),
    Reason("mirroring", "The challenger answers copies of requests and is watched.", "Nothing."),
    Reason(
        "cannot_mirror",
        "The rollout mirrors requests, and the kind of this target cannot.",
        "Give the model a rollout without `mirror`.",
    ),
    Reason("canary_step", "The challenger gets its next share of the traffic.", "Nothing."),
    Reason("baking", "The challenger has its share of the traffic and is watched.", "Nothing."),
    Reason(
        "analysis_errors",
        "The challenger fails more of its requests than the rollout allows over the champion.",
        "Nothing.",
    ),
    Reason(
        "analysis_disagreement",
        "More of the challenger's answers to copies of requests differ from the champion's than the rollout allows.",
        "If the answers are meant to differ, raise `max_disagreement` or leave it out, and register again.",
    ),
    Reason("analysis_latency", "The challenger is slower than the rollout allows against the champion.", "Nothing."),
    Reason(
        "too_few_requests",
        "The challenger answered too few requests to be compared.",
        "Send traffic, lower `min_requests`, or set `no_traffic: probe`.",
    ),
    Reason(
        "traffic_unknown",
        "The target could not say what the releases answered.",
        "Check the target's metrics, or set `no_traffic: probe`.",
    ),
    Reason("rollout_deadline", "The rollout took longer than its deadline.", "Read in the history what it waited for."),
    Reason("challenger_gone", "The challenger was deleted from the registry.", "Nothing."),
    Reason(
        "challenger_failed",
        "The challenger failed on a target.",
        "Read why in the history, correct it, register again.",
    ),
    Reason(
        "challenger_removed",
        "A person removed the challenger mark, or set it on another version, which aborts the rollout.",
        "Nothing.",
    ),
    Reason("floor_raised", "The floor rises to the challenger, so that it cannot come back by itself.", "Nothing."),
    Reason("roll_back_shift", "A target goes back to the champion.", "Nothing."),
    Reason("roll_back_done", "Every target is off the challenger again.", "Nothing."),
    Reason("switch", "A batch or streaming target changes to the challenger.", "Nothing."),
    Reason("crown", "Every target was seen whole on the challenger, so it becomes the champion.", "Nothing."),
    Reason("unmark", "The rollout has ended, so the challenger mark is removed.", "Nothing."),
    Reason("stray", "A release of ours is neither champion nor challenger, so it is removed.", "Nothing."),
    Reason("tag_verdict", "A final verdict is written on its version.", "Nothing."),
    Reason("slots_full", "As many rollouts run as may run at once.", "Nothing, or raise `rollouts_at_once`."),
    Reason("winner_waits", "A winner waits until an order or another rollout has ended.", "Nothing."),
    Reason("deadline_of_wake", "This wake-up had no time left for the step; the next one takes it.", "Nothing."),
    Reason(
        "deadline_too_short",
        "A wake-up may last less long here than a verb of a target may take, so no step can ever start.",
        "Let a wake-up last longer on this host, or move the target to a watcher on a host without such a limit.",
    ),
    Reason(
        "target_left",
        "The settings no longer name a target that served something when it was last seen, so it goes on unseen.",
        "Name it again, or stop what serves there by hand and `forget` the target.",
    ),
    Reason(
        "transient", "Something did not answer and may work later.", "Nothing; if it lasts, correct the cause it names."
    ),
    Reason("terminal", "The step will never work as asked.", "Correct the cause it names."),
    Reason("conflict", "The world had changed since it was seen, so it is looked at again.", "Nothing."),
)

REASONS: Mapping[str, Reason] = {reason.code: reason for reason in JUDGING + DECIDING}


def page() -> str:
    """The reference page of all reasons, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reasons"
    yield ""
    yield "Every verdict, finding and step gives one of these codes. `python -m watcher.reasons` prints this page."
    for title, reasons in (("Judging", JUDGING), ("Deciding", DECIDING)):
        yield from ("", f"## {title}", "", "| code | what it means | what you do |", "|---|---|---|")
        for reason in reasons:
            yield f"| `{reason.code}` | {reason.sentence} | {reason.remedy} |"


if __name__ == "__main__":
    sys.stdout.write(page())
