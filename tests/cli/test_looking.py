from __future__ import annotations

import threading

import pytest

from tests.azurite import Azurite
from tests.cli.conftest import START, Desk
from tests.ledger.tables import new_name, table_ledger
from watcher.errors import Transient
from watcher.ledger import open_ledger
from watcher.ports import Line
from watcher.record import Intent, Record
from watcher.values import Call
from watcher.wiring import LateLedger


def test_tick_takes_one_step_and_tells_it(desk: Desk) -> None:
    desk.train()
    ran = desk("tick", "churn")
    assert ran.code == 0
    assert "churn: marked version 1 as challenger" in ran.out
    assert [line.version for line in desk.events("done")] == [1]


def test_tick_until_rest_waits_for_what_is_due_soon_and_for_nothing_else(desk: Desk) -> None:
    desk.train()
    begun = desk.now
    ran = desk("tick", "--until-rest")
    assert ran.code == 0
    assert desk.registry.read("churn").champion == 1
    assert desk.serving() == {1: 100}
    assert desk.now - begun < 10.0


@pytest.mark.parametrize("command", [("run", "--once"), ("tick", "--until-rest")])
def test_rollouts_that_wait_for_a_slot_have_their_turn_before_rest(desk: Desk, command: tuple[str, ...]) -> None:
    text = desk.path.read_text().replace("match: fraud.*\n    policy: signed", "match: fraud.*\n    policy: binary")
    desk.path.write_text("limits: {rollouts_at_once: 1}\n" + text)
    models = ["churn", "fraud.cards", "fraud.loans"]
    for model in models:
        desk.train(model=model)
    assert desk(*command).code == 0
    assert [desk.registry.read(model).champion for model in models] == [1, 1, 1]


def eager(desk: Desk, least: str = "") -> None:
    """Evidence is read again every second, and a version needs a person's approval."""
    text = desk.path.read_text().replace("signature: false}\n  measured", f"signature: false, {APPROVAL}}}\n  measured")
    desk.path.write_text("poll: {evidence: 1s}\n" + text.replace(APPROVAL, APPROVAL + least))


APPROVAL = "approval: {tag: approved_by}"


@pytest.mark.parametrize("command", [("run", "--once"), ("tick", "--until-rest"), ("tick",)])
def test_a_wait_for_a_person_is_rest_and_says_for_what(desk: Desk, command: tuple[str, ...]) -> None:
    eager(desk)
    desk.train()
    begun = desk.now
    ran = desk(*command)
    assert (ran.code, ran.err) == (0, "")
    assert desk.now - begun < 1.0
    assert "churn: waits. The policy asks for a person's approval and there is none. (version 1)\n" in ran.out
    assert "`approve` the version, or leave it." in ran.out
    assert desk("plan").out.splitlines()[0] in ran.out
    assert desk(*command, "--json").json[0]["next"]["reason"] == "approval_missing"


def test_what_a_version_waits_for_besides_a_person_is_still_awaited(desk: Desk) -> None:
    eager(desk, ", min_age: 90s")
    desk.train()
    begun = desk.now
    assert desk("tick", "--until-rest", "--wait", "100").code == 0
    assert 89.0 <= desk.now - begun <= 92.0
    assert desk("tick", "--json").json[0]["next"]["reason"] == "approval_missing"


def test_a_hold_and_a_missing_metric_are_rest_too(desk: Desk) -> None:
    eager(desk)
    desk.train(None)
    assert "metric that the policy names is not there yet" in desk("run", "--once").out
    desk("hold", "churn")
    assert desk("run", "--once").code == 0


def test_nothing_is_said_of_targets_or_a_champion_that_are_not_there(desk: Desk) -> None:
    desk.path.write_text(
        desk.path.read_text().split("models:")[0] + "models: [{name: churn, mode: advise, policy: binary}]\n"
    )
    desk.train(0.4)
    ran = desk("tick", "--until-rest")
    assert (ran.code, ran.out.splitlines()[-1]) == (
        0,
        "churn: waits. Nothing is left to be done, and no version waits.",
    )


@pytest.mark.parametrize("command", [("run", "--once"), ("tick", "--until-rest"), ("tick",)])
def test_a_step_that_fails_again_and_again_is_told_by_the_exit_code(desk: Desk, command: tuple[str, ...]) -> None:
    desk.crowned()
    desk.deployer.places.clear()
    desk.deployer.faults.fail("launch", Transient("127.0.0.1:5001 is taken"), times=50)
    ran = desk(*command)
    assert ran.code == 3
    assert "127.0.0.1:5001 is taken" in ran.out


def test_a_target_that_refuses_is_told_by_the_exit_code(desk: Desk) -> None:
    desk.crowned()
    place = desk.deployer.places["local-endpoint:127.0.0.1:5001"]
    place.owner, place.weights = "somebody else", {}
    assert desk("run", "--once").code == 3


def test_tick_says_that_it_was_not_enough(desk: Desk) -> None:
    desk.train()
    ran = desk("tick", "--until-rest", "--most", "2")
    assert ran.code == 1
    assert "churn: not at rest after 2 wake-ups" in ran.err


def test_tick_wakes_every_watched_model_when_none_is_named(desk: Desk) -> None:
    desk.train()
    desk.train(model="fraud.cards")
    desk.registry.create_version("unrelated")
    desk("tick")
    assert {line.model for line in desk.ledger.history(event="seen")} == {"churn", "fraud.cards"}


def test_one_model_that_cannot_be_read_does_not_keep_the_others_waiting(desk: Desk) -> None:
    desk.train()
    desk.train(model="fraud.cards")
    desk.registry.fail("read", Transient("the registry is busy"))
    ran = desk("tick")
    assert ran.code == 3
    assert "the registry is busy" in ran.err
    assert len({line.model for line in desk.ledger.history(event="seen")}) == 1


def test_plan_tells_the_step_its_reason_and_the_verdicts_and_changes_nothing(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.9)
    ledger, registry, targets = desk.ledger.snapshot(), desk.registry.snapshot(), desk.deployer.snapshot()
    ran = desk("plan", "churn")
    assert ran.code == 0
    assert ran.out.startswith("churn: about to mark version 2 as challenger")
    assert "v2          wins: No rule objects, and the primary metric is better than the champion's." in ran.out
    assert (desk.ledger.snapshot(), desk.registry.snapshot(), desk.deployer.snapshot()) == (ledger, registry, targets)


def test_what_was_planned_is_what_is_done(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.9)
    for _ in range(12):
        planned = desk("plan", "churn", "--json").json[0]["step"]
        (ticked,) = desk("tick", "churn", "--json").json
        did = ticked["steps"][0] if ticked["steps"] else ticked["next"]
        assert (did["verb"], did["target"], did["weights"]) == (planned["verb"], planned["target"], planned["weights"])
        desk.now += 1.0


def test_plan_tells_what_a_version_that_waits_is_waiting_for(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(None)
    desk("tick", "churn")
    ran = desk("plan", "churn")
    assert "A metric that the policy names is not there yet." in ran.out
    assert "version 2" in ran.out


def test_plan_says_that_another_worker_acts(desk: Desk) -> None:
    desk.crowned()
    stored = desk.ledger.load("churn")
    assert stored is not None
    record = Record(born=START, intent=Intent("another", desk.now + 30.0, "shift:api:"))
    desk.ledger.save("churn", record.to_json(), stored.revision)
    (told,) = desk("plan", "churn", "--json").json
    assert told["step"]["reason"] == "leased"
    assert told["step"]["again"] == desk.now + 30.0


def test_plan_says_that_no_slot_is_free(desk: Desk) -> None:
    desk.path.write_text("limits: {rollouts_at_once: 1}\n" + desk.path.read_text())
    desk.train()
    desk.ledger.save("#slots", {"format": 1, "held": ["fraud.cards"]}, None)
    (told,) = desk("plan", "churn", "--json").json
    assert (told["step"]["verb"], told["step"]["reason"]) == ("wait", "slots_full")


def test_status_tells_the_champion_its_targets_and_what_comes_next(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.crowned(0.9)
    ran = desk("status", "churn")
    assert ran.code == 0
    for said in ("v2, before it v1", "v2 100 %, ready", "floor       1"):
        assert said in ran.out


def test_status_tells_how_far_a_rollout_is(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.9)
    for _ in range(20):
        desk("tick", "churn")
        desk.now += 0.5
        if 2 in desk.serving():
            break
    desk("tick", "churn")
    (told,) = desk("status", "churn", "--json").json
    assert told["rollout"]["version"] == 2
    assert (told["rollout"]["percent"], told["rollout"]["canary"]) == (10, [10, 100])
    assert told["targets"][0]["weights"] == {"1": 90, "2": 10}
    assert told["next"]["reason"] == "baking"
    assert desk.now < told["next"]["again"] <= desk.now + 20.0
    assert "at 10 % (steps 10, 100)" in desk("status", "churn").out


def test_status_tells_what_a_challenger_answered_to_copies(desk: Desk) -> None:
    desk.path.write_text(desk.path.read_text().replace("{canary:", "{mirror: 20, canary:"))
    desk.crowned(0.8)
    desk.deployer.disagrees[desk.train(0.9)] = 0.5
    for _ in range(20):
        desk("tick", "churn")
        desk.now += 0.5
        (told,) = desk("status", "churn", "--json").json
        if told["next"]["reason"] == "mirroring":
            break
    desk.now += 4.0
    (told,) = desk("status", "churn", "--json").json
    copies = told["rollout"]["mirror"]["api"]
    assert copies["requests"] >= 10
    assert copies["disagreed"] == copies["compared"] // 2 > 0
    assert (told["rollout"]["percent"], copies["percent"], copies["errors"]) == (0, 20, 0)
    assert desk.now < told["rollout"]["bakes_until"] <= desk.now + 20.0
    assert "given copies of 20 %" in desk("status", "churn").out


def test_status_says_that_a_target_cannot_be_seen(desk: Desk) -> None:
    desk.crowned()
    desk.deployer.faults.fail("observe", Transient("no route"), times=2)
    assert "cannot be seen: no route" in desk("status", "churn").out
    (told,) = desk("status", "churn", "--json").json
    assert told["targets"][0]["seen"] is False


def test_status_of_a_model_that_is_not_registered_yet(desk: Desk) -> None:
    ran = desk("status")
    assert ran.code == 0
    assert "none: the registry has no such model" in ran.out


def test_history_is_told_oldest_first_and_bounded(desk: Desk) -> None:
    desk.crowned()
    told = desk("history", "churn", "--most", "3", "--json").json
    every = desk("history", "churn", "--most", "1000", "--json").json
    assert told == every[-3:]
    assert [line["at"] for line in every] == sorted(line["at"] for line in every)
    assert every[0]["event"] == "seen"


def test_history_since_and_until_a_moment(desk: Desk) -> None:
    desk.crowned()
    middle = desk.now
    desk.now += 3_600.0
    desk("hold", "churn")
    late = desk("history", "churn", "--since", "30m", "--json").json
    early = desk("history", "churn", "--until", "30m", "--json").json
    assert {line["event"] for line in late} == {"order_asked"}
    assert max(line["at"] for line in early) <= middle


def test_history_at_a_moment_tells_what_was_live_and_why(desk: Desk) -> None:
    desk.crowned(0.8)
    between = desk.now
    desk.now += 600.0
    desk.crowned(0.9)
    desk.now += 600.0
    told = desk("history", "churn", "--at", f"{desk.now - between}s ago", "--json").json
    assert told["live"]["api"]["weights"] == {"1": 100}
    now = desk("history", "churn", "--at", "now", "--json").json
    assert now["live"]["api"]["weights"] == {"2": 100}
    text = desk("history", "churn", "--at", "now").out
    assert "api: v2 100 %, since " in text
    assert "the rollout of version 2 to every target started" in text


def test_history_before_anything_happened_names_nothing(desk: Desk) -> None:
    desk.crowned()
    told = desk("history", "churn", "--at", "2001-01-01", "--json").json
    assert told["live"] == {}


def test_history_of_a_model_that_is_watched_no_more_is_still_told(desk: Desk) -> None:
    desk.crowned()
    desk.path.write_text(desk.path.read_text().replace("name: churn", "name: other"))
    assert "is the champion now" in desk("history", "churn").out


@pytest.mark.parametrize("options", [["--at", "now", "--follow"], ["--follow", "--until", "1h"]])
def test_history_options_that_contradict_each_other_are_a_usage_error(desk: Desk, options: list[str]) -> None:
    assert desk("history", "churn", *options).code == 2


def test_history_follows_each_new_line_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.crowned()
    looks = iter([True, True, False])

    def sleep(seconds: float, _stop: threading.Event | None) -> None:
        desk.now += seconds
        if not next(looks):
            raise KeyboardInterrupt
        stored = desk.ledger.load("churn")
        assert stored is not None
        lines = [Line(desk.now, "churn", "told", version=n, reason="held") for n in (1, 2)]
        desk.ledger.save("churn", stored.body, stored.revision, lines)

    monkeypatch.setattr("watcher.cli.session.sleep", sleep)
    before = len(desk("history", "churn", "--most", "1000", "--json").json)
    ran = desk("history", "churn", "--most", "1000", "--follow")
    assert ran.code == 130
    assert len(ran.out.splitlines()) == before + 4
    assert len(desk("history", "churn", "--most", "1000", "--json").json) == before + 4


def test_explain_shows_each_rule_with_measure_bound_and_outcome(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.801)
    told = desk("explain", "churn", "2", "--json").json
    assert (told["call"], told["reason"]) == ("loses", "gain_too_small")
    rules = {finding["rule"]: finding for finding in told["findings"]}
    assert rules["primary_gains"]["call"] == "loses"
    assert "0.801" in rules["primary_gains"]["measured"]
    assert "0.002" in rules["primary_gains"]["bound"]
    ran = desk("explain", "churn", "2")
    row = next(line for line in ran.out.splitlines() if line.startswith("primary gains"))
    assert "loses" in row
    assert "0.801" in row
    passed = next(line for line in ran.out.splitlines() if line.startswith("registered"))
    assert "passes" in passed


def test_the_first_plan_of_a_model_says_what_will_be_done(desk: Desk) -> None:
    desk.train()
    desk.registry.staleness = 5.0
    assert "churn: about to mark version 1 as challenger" in desk("plan", "churn").out
    assert "The record of this model is new" not in desk("plan", "churn").out


def test_a_version_that_is_gone_is_nothing_to_come_back_to(desk: Desk) -> None:
    first = desk.crowned(0.8)
    desk.crowned(0.9)
    desk.registry.delete_version("churn", 2)
    desk("promote", "churn", str(first))
    desk("tick", "churn")
    (order,) = desk.events("order")
    assert (order.data or {})["previous"] is None
    assert "before it" not in desk("status", "churn").out


def test_explain_works_for_a_version_that_was_judged_long_ago(desk: Desk) -> None:
    desk.crowned(0.8)
    loser = desk.train(0.7)
    desk.rest("churn")
    desk.crowned(0.9)
    told = desk("explain", "churn", str(loser), "--json").json
    assert told["tag"] == "loses"
    assert told["call"] == "superseded"
    assert [line["data"]["call"] for line in told["history"]] == ["loses"]
    called, why, now, *_ = desk("explain", "churn", str(loser)).out.splitlines()
    assert called == f"churn v{loser} was called `loses`."
    assert f"churn: version {loser} loses: gain too small: 0.7" in why
    assert "judged now: superseded" in now


def test_explain_tells_why_a_version_was_rolled_back(desk: Desk) -> None:
    desk.crowned(0.8)
    slow = desk.train(0.9)
    desk.deployer.mute[slow] = "shape mismatch"
    desk.rest("churn")
    ran = desk("explain", "churn", str(slow))
    assert "Its tag says: rolled_back." in ran.out
    assert "shape mismatch" in ran.out


def test_explain_leaves_out_what_was_said_of_an_earlier_version_of_the_same_number(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.registry.delete_model("churn")
    desk.now += 86_400.0
    desk.train(0.9)
    told = desk("explain", "churn", "1", "--json").json
    assert told["history"] == []


def test_explain_goes_on_without_the_ledger(desk: Desk) -> None:
    desk.train()
    desk.ledger.fail("load", Transient("locked"))
    desk.ledger.fail("history", Transient("locked"))
    ran = desk("explain", "churn", "1", "--json")
    assert (ran.code, ran.json["call"]) == (0, Call.WINS)


def test_run_once_goes_on_until_nothing_is_due(desk: Desk) -> None:
    desk.train()
    ran = desk("run", "--once")
    assert ran.code == 0
    assert "churn: version 1 is the champion now" in ran.out


def test_run_tells_each_line_as_it_is_written_and_stops_after_its_time(desk: Desk) -> None:
    desk.train()
    ran = desk("run", "--for", "0.5")
    assert ran.code == 0
    assert "churn: version 1 was seen for the first time." in ran.out
    assert desk.registry.read("churn").challenger == 1


def test_run_does_not_start_on_a_ledger_that_cannot_be_used(desk: Desk) -> None:
    desk.ledger.fail("load", Transient("the file belongs to another program"), key="#pause")
    ran = desk("run", "--for", "5")
    assert (ran.code, ran.err) == (3, "the file belongs to another program\n")


def test_a_model_of_which_the_settings_speak_amiss_does_not_keep_the_others_from_being_woken(desk: Desk) -> None:
    rule = desk.path.read_text().split("  - match")[1]
    desk.path.write_text(desk.path.read_text() + "  - match" + rule.replace("fraud.*", "fraud.c*"))
    desk.train(model="fraud.cards")
    desk.train()
    ran = desk("run", "--for", "0.5")
    assert "churn: version 1 was seen for the first time." in ran.out
    assert "'fraud.*' and 'fraud.c*'" in ran.err


def test_what_the_ledger_found_out_about_its_file_is_told(desk: Desk) -> None:
    (desk.path.parent / "ledger.db").write_bytes(b"no database at all" * 100)
    desk.kept = LateLedger(lambda: open_ledger("sqlite:///ledger.db", desk.path.parent))
    ran = desk("history")
    assert ran.code == 0
    assert "damaged" in ran.err


def test_everything_can_be_looked_at_with_the_ledger_in_a_table(desk: Desk, azurite: Azurite) -> None:
    desk.kept = LateLedger(lambda: table_ledger(azurite, new_name()))
    desk.crowned(0.8)
    bad = desk.train(0.7)
    desk("tick", "churn")
    assert [line["ok"] for line in desk("--json", "check").json["checks"] if line["what"] == "ledger"] == [True]
    assert desk("--json", "status", "churn").json[0]["champion"] == 1
    assert desk("--json", "history", "churn", "--at", "1s").json["live"]["api"]["weights"] == {"1": 100}
    assert "version 1 was seen for the first time" in desk("history").out
    assert f"v{bad}" in desk("explain", "churn", str(bad)).out
    assert {entry["event"] for entry in desk("--json", "explain", "churn", str(bad)).json["history"]} == {"verdict"}
