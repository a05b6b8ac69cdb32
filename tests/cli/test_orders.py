from __future__ import annotations

import pytest

from tests.cli.conftest import Desk
from watcher.errors import Terminal, Transient
from watcher.naming import release_name
from watcher.record import Intent, Record, from_json
from watcher.values import Artifacts, Call, Crown, Status


def test_promote_moves_the_champion_mark_and_says_who_in_the_history(desk: Desk) -> None:
    first = desk.crowned(0.8)
    loser = desk.train(0.7)
    ran = desk("promote", "churn", str(loser))
    assert ran.code == 0
    assert desk.registry.read("churn").champion == loser != first
    (line,) = desk.events("order_asked")
    assert (line.version, line.data) == (loser, {"order": "promote", "who": "alice"})
    assert "alice used the command line to promote version 2" in desk("history", "churn").out


def test_a_promoted_version_reaches_its_target_without_a_canary(desk: Desk) -> None:
    desk.crowned(0.8)
    loser = desk.train(0.7)
    desk("promote", "churn", f"v{loser}")
    desk.rest("churn")
    assert desk.serving() == {loser: 100}
    assert [(line.data or {})["weights"] for line in desk.events("live")][-1] == {str(loser): 100}


def test_promote_of_the_champion_changes_nothing(desk: Desk) -> None:
    champion = desk.crowned()
    before = desk.ledger.snapshot()
    ran = desk("promote", "churn", str(champion), "--json")
    assert (ran.code, ran.json["changed"]) == (0, False)
    assert desk.ledger.snapshot() == before


def test_promote_of_a_champion_that_could_not_be_served_tries_it_again(desk: Desk) -> None:
    desk.crowned(0.8)
    broken = desk.train(0.7)
    desk.deployer.broken[broken] = "no memory"
    desk("promote", "churn", str(broken))
    desk.rest("churn")
    assert desk.version(broken).call is Call.UNMET
    assert desk.serving() == {1: 100}
    desk.deployer.broken.clear()
    desk.deployer.lose(desk.target, release_name(desk.version(broken).identity))
    assert "is tried again" in desk("promote", "churn", str(broken)).out
    desk.rest("churn")
    assert desk.serving() == {broken: 100}


@pytest.mark.parametrize(("status", "said"), [(Status.FAILED, "failed"), (Status.PENDING, "has not ended")])
def test_a_version_that_has_nothing_to_serve_is_not_promoted(desk: Desk, status: Status, said: str) -> None:
    desk.crowned()
    half = desk.train(0.9, status=status)
    ran = desk("promote", "churn", str(half))
    assert ran.code == 1
    assert f"v{half} {said}" in ran.err
    assert desk.registry.read("churn").champion == 1


def test_promote_tells_that_nothing_moves_in_advise_mode(desk: Desk) -> None:
    version = desk.train()
    desk.path.write_text(desk.path.read_text().replace("- name: churn", "- name: churn\n    mode: advise"))
    assert "mode `advise`" in desk("promote", "churn", str(version)).out


def test_a_promotion_goes_through_while_the_ledger_is_out_of_reach(desk: Desk) -> None:
    desk.crowned(0.8)
    other = desk.train(0.7)
    desk.ledger.fail("load", Transient("the ledger is locked"))
    ran = desk("promote", "churn", str(other))
    assert ran.code == 0
    assert "The order is not in the history: the ledger is locked" in ran.err
    assert desk.registry.read("churn").champion == other


def test_an_order_waits_for_the_step_under_way_and_keeps_others_from_acting_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.crowned(0.8)
    other = desk.train(0.7)
    desk.ledger.wipe()
    record = Record(born=desk.now, intent=Intent("another", desk.now + 4.0, "crown::1"))
    desk.ledger.save("churn", record.to_json(), None)
    seen: list[tuple[float, Intent | None]] = []
    move = desk.registry.set_champion

    def watched(name: str, version: int) -> None:
        stored = desk.ledger.load("churn")
        assert stored is not None
        seen.append((desk.now, from_json(stored.body).intent))
        move(name, version)

    monkeypatch.setattr(desk.registry, "set_champion", watched)
    begun = desk.now
    ran = desk("promote", "churn", str(other))
    ((at, intent),) = seen
    assert "A step is under way (crown::1)" in ran.err
    assert at >= begun + 4.0
    assert intent is not None
    assert intent.worker.startswith("order:")
    assert intent.until > at
    stored = desk.ledger.load("churn")
    assert stored is not None
    assert from_json(stored.body).intent is None
    assert list(desk.ledger.due(desk.now)) == ["churn"]


def test_an_order_goes_ahead_of_a_step_that_takes_too_long(desk: Desk) -> None:
    desk.crowned(0.8)
    other = desk.train(0.7)
    desk.ledger.wipe()
    intent = Intent("another", desk.now + 900.0, "crown::1")
    desk.ledger.save("churn", Record(born=desk.now, intent=intent).to_json(), None)
    begun = desk.now
    assert desk("promote", "churn", str(other)).code == 0
    assert desk.now - begun < 15.0
    assert desk.registry.read("churn").champion == other
    stored = desk.ledger.load("churn")
    assert stored is not None
    assert from_json(stored.body).intent == intent


def test_an_order_that_fails_says_so_in_the_history_and_lets_the_workers_act_again(desk: Desk) -> None:
    desk.crowned(0.8)
    other = desk.train(0.7)
    desk.registry.fail("set_champion", Transient("the registry is away"))
    ran = desk("promote", "churn", str(other))
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "the registry is away\n"
    assert desk.events("failed")[-1].data == {"verb": "order", "detail": "the registry is away"}
    stored = desk.ledger.load("churn")
    assert stored is not None
    assert from_json(stored.body).intent is None


def test_rollback_goes_to_what_served_before(desk: Desk) -> None:
    first, second = desk.crowned(0.8), desk.crowned(0.9)
    ran = desk("rollback", "churn")
    assert ran.code == 0
    assert desk.registry.read("churn").champion == first != second
    desk.rest("churn")
    assert desk.serving() == {first: 100}


def test_rollback_is_refused_where_nothing_served_before(desk: Desk) -> None:
    desk.crowned()
    ran = desk("rollback", "churn", "--json")
    assert (ran.code, ran.out, ran.error["kind"]) == (1, "", "refused")
    assert ran.error["message"].startswith("Refused, nothing is done. Nothing served churn before its champion")


@pytest.mark.parametrize("call", [Call.ROLLED_BACK, Call.DISPLACED, Call.UNMET])
def test_rollback_never_returns_to_a_version_that_was_taken_down(desk: Desk, call: Call) -> None:
    first, second = desk.crowned(0.8), desk.crowned(0.9)
    desk.registry.set_tag("churn", first, "watcher.verdict", call)
    ran = desk("rollback", "churn")
    assert ran.code == 1
    assert f"v{first} served before, and" in ran.err
    assert desk.registry.read("churn").champion == second


def test_rollback_is_refused_where_the_version_before_is_gone(desk: Desk) -> None:
    first = desk.crowned(0.8)
    desk.crowned(0.9)
    desk.registry.delete_version("churn", first)
    ran = desk("rollback", "churn")
    assert ran.code == 1
    assert "does not exist any more" in ran.err


def test_rollback_is_refused_where_the_crown_cannot_be_read(desk: Desk) -> None:
    desk.crowned()
    desk.registry.break_crown("churn")
    assert desk("rollback", "churn").code == 1


def test_rollback_during_a_rollout_names_the_two_things_it_could_mean(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.9)
    desk("tick", "churn")
    assert desk.registry.read("churn").challenger == 2
    ran = desk("rollback", "churn")
    assert ran.code == 1
    assert "`watcher abort churn`" in ran.err
    assert desk.registry.read("churn").champion == 1


def test_abort_ends_the_rollout_and_every_target_is_back_on_the_champion(desk: Desk) -> None:
    champion = desk.crowned(0.8)
    challenger = desk.train(0.9)
    for _ in range(30):
        desk("tick", "churn")
        desk.now += 1.0
        if challenger in desk.serving():
            break
    assert desk.serving() == {champion: 90, challenger: 10}
    assert desk("abort", "churn").code == 0
    desk.rest("churn")
    assert desk.serving() == {champion: 100}
    assert desk.version(challenger).call is Call.ROLLED_BACK


def test_abort_is_refused_where_nothing_is_rolled_out(desk: Desk) -> None:
    desk.crowned()
    assert desk("abort", "churn").code == 1


def test_a_held_model_goes_no_further_until_it_is_released(desk: Desk) -> None:
    champion = desk.crowned(0.8)
    assert desk("hold", "churn", "--reason", "month end").code == 0
    assert desk.registry.read("churn").hold == "alice: month end"
    desk.train(0.9)
    desk("tick", "churn")
    assert desk.registry.read("churn").challenger is None
    assert "waits. A person holds the model" in desk("status", "churn").out
    assert "held by alice: month end" in desk("release", "churn").out
    desk.rest("churn")
    assert desk.registry.read("churn").champion == champion + 1


def test_release_of_a_model_that_is_not_held_says_so(desk: Desk) -> None:
    desk.crowned()
    assert desk("release", "churn", "--json").json["changed"] is False


def test_approve_writes_the_tag_that_the_policy_names(desk: Desk) -> None:
    version = desk.train(0.9, "fraud.cards")
    desk("tick", "fraud.cards")
    assert desk.registry.read("fraud.cards").challenger is None
    assert desk("approve", "fraud.cards", str(version)).code == 0
    assert desk.version(version, "fraud.cards").tags["approved_by"].startswith("alice 20")
    desk.now += 60.0
    desk("tick", "fraud.cards")
    assert desk.registry.read("fraud.cards").challenger == version


def test_approve_names_the_policy_that_asks_for_none(desk: Desk) -> None:
    version = desk.train()
    ran = desk("approve", "churn", str(version))
    assert ran.code == 2
    assert "Policy 'binary' of model churn asks for no approval" in ran.err


def test_rejudge_clears_the_verdict_and_lowers_the_floor(desk: Desk) -> None:
    desk.crowned(0.8)
    loser = desk.train(0.801)
    desk.rest("churn")
    assert desk.version(loser).call is Call.LOSES
    desk.registry.log_metric("churn", loser, "auc", 0.9)
    assert desk("rejudge", "churn", str(loser)).code == 0
    desk.rest("churn")
    assert desk.registry.read("churn").champion == loser


def test_adopt_lends_a_place_by_its_name_where_that_is_the_only_one(desk: Desk) -> None:
    version = desk.train()
    desk.deployer.observe(desk.target)
    place = desk.deployer.places[desk.target.place]
    desk.deployer.foreign(desk.target, "by-hand", version)
    assert desk("adopt", "api", "--version", str(version)).code == 0
    assert place.adopted
    assert f"by-hand (not ours, v{version}) 100 %" in desk("status").out
    assert desk.events("order_asked")[-1].target == "api"


def test_adopt_takes_the_model_and_its_target(desk: Desk) -> None:
    version = desk.train(model="fraud.cards")
    assert desk("adopt", "fraud.cards/live", "--version", str(version)).code == 0


def test_adopt_asks_for_the_model_where_two_have_a_target_of_that_name(desk: Desk) -> None:
    desk.train(model="fraud.cards")
    desk.train(model="fraud.loans")
    ran = desk("adopt", "live", "--version", "1")
    assert ran.code == 2
    assert "fraud.cards/live, fraud.loans/live" in ran.err


@pytest.mark.parametrize("name", ["nowhere", "churn/nowhere"])
def test_adopt_of_an_unknown_target_names_those_there_are(desk: Desk, name: str) -> None:
    desk.train()
    ran = desk("adopt", name, "--version", "1")
    assert ran.code == 2
    assert "api" in ran.err


def test_a_target_that_cannot_be_adopted_is_a_refusal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.train()

    def refuse(*_: object) -> None:
        raise Terminal("nothing to adopt")

    monkeypatch.setattr(desk.deployer, "adopt", refuse)
    ran = desk("adopt", "api", "--version", "1")
    assert (ran.code, "churn/api cannot be adopted: nothing to adopt" in ran.err) == (1, True)


def test_pause_stops_every_step_until_resume(desk: Desk) -> None:
    desk.train()
    assert desk("pause").code == 0
    desk.rest("churn")
    assert desk.registry.read("churn").challenger is None
    assert "paused" in desk("status", "churn").out
    assert desk("resume").code == 0
    desk("tick", "churn")
    assert desk.registry.read("churn").challenger == 1


def test_a_second_pause_is_no_mistake(desk: Desk) -> None:
    desk("pause")
    ran = desk("pause", "--json")
    assert (ran.code, ran.json["changed"]) == (0, False)


@pytest.mark.parametrize("order", ["promote", "rejudge", "explain"])
def test_a_version_that_does_not_exist_is_answered_with_the_highest(desk: Desk, order: str) -> None:
    desk.train()
    ran = desk(order, "churn", "7")
    assert ran.code == 2
    assert "Model churn has no version 7; its highest is 1." in ran.err


def test_promote_warns_of_nothing_and_serves_previous_where_the_artifacts_are_gone(desk: Desk) -> None:
    """What cannot be served is found by serving it; the order is then unmet, and what served before serves."""
    desk.crowned(0.8)
    gone = desk.train(0.9)
    desk.registry.set_evidence("churn", gone, artifacts=Artifacts.ABSENT)
    desk.deployer.broken[gone] = "no such artifacts"
    desk("promote", "churn", str(gone))
    desk.rest("churn")
    assert desk.serving() == {1: 100}
    told = desk("status", "churn").out
    assert f"v{gone}, an order that cannot be met, before it v1" in told
    assert "next        waits. The ordered version cannot be served; every target is back on what it served" in told
    assert "Move the champion mark to a version that works" in told
    for command in ("plan", "tick"):
        assert (
            desk(command, "churn", "--json").json[0]["next" if command == "tick" else "step"]["reason"] == "order_unmet"
        )


def test_the_crown_of_another_hand_is_no_reason_to_lose_the_order(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.registry.set_crown("churn", Crown(crowned=1, previous=None, n=40))
    other = desk.train(0.7)
    desk("promote", "churn", str(other))
    desk.rest("churn")
    assert desk.serving() == {other: 100}
