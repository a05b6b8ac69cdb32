"""What the page and its JSON answer, asked without a browser."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.page.asking import ask, page_of
from tests.page.house import HOSTILE, MEASURED, NASTY, House, cards, churn, hostile, rolled_back, unmet
from watcher import heartbeat
from watcher.errors import Transient
from watcher.page.serve import LOOPBACK
from watcher.ports import Line
from watcher.settings import Settings
from watcher.values import Marks


@pytest.fixture
def house() -> House:
    return House()


def out_of_reach(house: House, times: int = 50) -> None:
    for verb in ("read", "names", "marks", "version", "versions", "of", "example"):
        house.registry.fail(verb, Transient("the registry at http://127.0.0.1:9 does not answer"), times=times)


@pytest.mark.parametrize(
    "path", ["/", "/model", "/version", "/history", "/api/models", "/api/model", "/nope", "/api/x"]
)
def test_every_answer_forbids_what_a_page_without_scripts_does_not_need(house: House, path: str) -> None:
    headers = ask(page_of(house), path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_possible(house: House, method: str) -> None:
    answer = ask(page_of(house), "/model", method=method, name=churn(house))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert "read only" in answer.said


def test_a_head_has_the_headers_and_no_body(house: House) -> None:
    answer = ask(page_of(house), "/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_a_page_of_this_machine_is_served_under_its_own_names(house: House, host: str) -> None:
    assert ask(page_of(house, hosts=LOOPBACK), "/", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]", "localhost@evil.example"])
def test_a_name_that_another_site_made_point_here_is_refused(house: House, host: str) -> None:
    answer = ask(page_of(house, hosts=LOOPBACK), "/", host=host)
    assert answer.status == 421
    assert "Models" not in answer.said


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/model", "", "The address names no name"),
        ("/model", "name=a&name=b", "a parameter twice"),
        ("/model", "name=%ff", "not URL-encoded UTF-8"),
        ("/model", "name=" + "x" * 2_001, "more than 2,000 characters"),
        ("/version", "model=prod.risk.churn", "a whole number from 1"),
        ("/version", "model=prod.risk.churn&version=0", "a whole number from 1"),
        ("/version", "model=prod.risk.churn&version=1e3", "a whole number from 1"),
        ("/version", "model=prod.risk.churn&version=99999999999999", "a whole number from 1"),
        ("/history", "model=prod.risk.churn&at=yesterday", "is no moment"),
        ("/history", "model=prod.risk.churn&at=2999-01-01", "has not come yet"),
        ("/history", "at=2h", "is told of one model"),
        ("/history", "event=%3Cscript%3E", "There is no event"),
        ("/history", "until=1e999", "is no moment"),
        ("/history", "skip=-1", "a whole number from 1"),
        ("/", "page=x", "a whole number from 1"),
    ],
)
def test_a_question_that_is_none_gets_a_sentence(house: House, path: str, query: str, said: str) -> None:
    churn(house)
    app = page_of(house)
    page, told = ask(app, path, raw=query), ask(app, "/api" + (path if path != "/" else "/models"), raw=query)
    assert (page.status, told.status) == (400, 400)
    assert said in page.said
    assert said in told.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/nope", {}, "There is no page '/nope'"),
        ("/model", {"name": "nobody"}, "Model 'nobody' is not watched"),
        ("/version", {"model": "prod.risk.churn", "version": 77}, "has no version 77"),
    ],
)
def test_what_is_missing_is_named(house: House, path: str, query: dict[str, Any], said: str) -> None:
    churn(house)
    answer = ask(page_of(house), path, **query)
    assert answer.status == 404
    assert said in answer.said


def test_a_model_that_only_a_pattern_matches_and_nobody_knows_is_missing() -> None:
    class Pattern(House):
        """What matches it is watched, and named nowhere."""

        @property
        def settings(self) -> Settings:
            return replace(super().settings, models=())

    house = Pattern()
    house.model("fraud.x")
    assert ask(page_of(house), "/model", name="fraud.x").status == 404


def test_a_bug_is_raised_to_the_server_for_its_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Marks:
        raise ZeroDivisionError("secret")

    name = churn(house)
    monkeypatch.setattr(house.registry, "read", broken)
    with pytest.raises(ZeroDivisionError):
        ask(page_of(house), "/model", name=name)


@pytest.mark.parametrize("root", ["", "/api/page", "/a/b"])
def test_links_stay_below_the_path_where_the_page_is_mounted(house: House, root: str) -> None:
    name = churn(house)
    app = page_of(house)
    for path in ("/", "/model", "/version", "/history"):
        answer = ask(app, root + path, root_path=root, name=name, model=name, version=1)
        links = set(_links(answer.text))
        assert answer.status == 200
        assert {link.startswith(f"{root}/") for link in links if not link.startswith(("#", "data:"))} == {True}


def test_a_server_that_does_not_say_where_it_mounts_the_page_can_be_told(house: House) -> None:
    """Azure Functions leaves the mount in the path and says nothing of it."""
    app = page_of(house, root_path="/api/page")
    for path in ("/api/page", "/api/page/", "/"):
        assert 'href="/api/page/page.css"' in ask(app, path).text
    assert ask(app, "/api/page/page.css").headers["content-type"].startswith("text/css")
    assert ask(app, "/api/page/api/models").json["models"] == []


def test_a_key_in_the_address_goes_along_with_every_link(house: House) -> None:
    name = churn(house)
    answer = ask(page_of(house), "/model", name=name, code="k/1")
    inside = [link for link in _links(answer.text) if not link.startswith(("#", "data:"))]
    assert [link for link in inside if "code=k%2F1" not in link] == []
    assert "k/1" not in ask(page_of(house), "/api/model", name=name, code="k/1").text


def _links(text: str) -> list[str]:
    return re.findall(r'(?:href|action)="([^"]*)"', text)


NAMES = ["a/b", "100%", "ümläut 模型", "two\nlines", "a&b=c?d#e", "..", "a+b", " ", "\ud800", HOSTILE]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_model_of_any_name_is_found_by_the_link_to_it(house: House, name: str) -> None:
    house.crowned(house.model(name), 0.8)
    app = page_of(house)
    link = next(link for link in _links(ask(app, "/").text) if link.startswith("/model?"))
    answer = ask(app, "/model", raw=link.partition("?")[2].replace("&amp;", "&"))
    assert answer.status == 200
    assert ask(app, "/api/model", raw=link.partition("?")[2].replace("&amp;", "&")).json["model"] == name


def test_nothing_invisible_and_no_tag_of_an_enemy_gets_into_a_page(house: House) -> None:
    name = hostile(house)
    app = page_of(house)
    for path in ("/", "/model", "/version", "/history"):
        text = ask(app, path, name=name, model=name, version=2).text
        for bad in ("<script", "<img", "<svg onload", "\u202e", "\x1b", "\x00"):
            assert bad not in text, (path, bad)
    assert "&lt;img src=x onerror=alert(2)&gt;" in ask(app, "/model", name=name).text


def test_the_overview_tells_each_model_in_a_word_and_what_needs_a_person_comes_first(house: House) -> None:
    mid, bad, good = cards(house), unmet(house), rolled_back(house)
    told = ask(page_of(house), "/api/models").json
    assert [(m["model"], m["state"]["code"]) for m in told["models"]] == [
        (bad, "order_unmet"),
        (mid, "rolling_out"),
        (good, "serving"),
    ]
    assert told["models"][0]["remedy"].startswith("Move the champion mark")


def test_the_overview_of_many_models_costs_as_many_registry_calls_as_one(house: House) -> None:
    for index in range(120):
        house.model(f"m{index:03}")
        house.registry.create_version(f"m{index:03}", {"auc": 0.5})
    house.registry.calls.clear()
    app = page_of(house)
    told = ask(app, "/api/models", page=2).json
    assert (told["page"], told["pages"], len(told["models"]), told["found"]) == (2, 3, 50, 120)
    assert len(house.registry.calls) == 2
    assert [m["model"] for m in ask(app, "/api/models", find="M11").json["models"]] == [f"m11{n}" for n in range(10)]
    assert len(house.registry.calls) == 2


def test_a_page_that_is_asked_for_again_and_again_looks_once(house: House) -> None:
    name = churn(house)
    app = page_of(house)
    ask(app, "/model", name=name)
    house.registry.calls.clear()
    for _ in range(20):
        ask(app, "/model", name=name)
    assert list(house.registry.calls) == []
    house.now += 6.0
    ask(app, "/model", name=name)
    assert 0 < len(house.registry.calls) < 10


def test_a_rollout_is_told_with_its_step_what_it_waits_for_and_until_when(house: House) -> None:
    name = cards(house)
    told = ask(page_of(house), "/api/model", name=name).json
    assert told["state"]["code"] == "rolling_out"
    rollout = told["status"]["rollout"]
    assert (rollout["version"], rollout["percent"], rollout["canary"]) == (2, 10, [10, 50, 100])
    assert house.now < rollout["bakes_until"] <= house.now + 600.0
    assert rollout["ends_at"] == rollout["since"] + 7_200.0
    said = ask(page_of(house), "/model", name=name).said
    assert "The challenger has its share of the traffic and is watched." in said
    assert "v2 challenger 50 %" in said


def test_after_a_roll_back_it_is_told_which_rows_jobs_wrote_with_the_version(house: House) -> None:
    name = rolled_back(house)
    data = {"rows": 1_200, "since": 60.0, "until": 90.0, "where": "scores", "commits": [74, 81], "folders": []}
    lines = [Line(house.now, name, "wrote", "live", 2, "", data | {"rows": rows}) for rows in (1_199, 1_200)]
    house.memory.save("#wrote", {}, None, lines)
    app = page_of(house)
    (back,) = ask(app, "/api/model", name=name).json["rolled_back"]
    (wrote,) = back["wrote"]
    assert (wrote["target"], wrote["rows"], wrote["commits"]) == ("live", 1_200, [74, 81])
    assert ask(app, "/api/version", model=name, version=2).json["wrote"] == [wrote]
    for path, asked in (("/model", {"name": name}), ("/version", {"model": name, "version": 2})):
        assert "version 2 wrote 1,200 rows to scores" in ask(app, path, **asked).text


def test_after_a_roll_back_it_is_told_what_the_bad_version_answered_where_and_when(house: House) -> None:
    name = rolled_back(house)
    (back,) = ask(page_of(house), "/api/model", name=name).json["rolled_back"]
    assert (back["version"], back["reason"]) == (2, "analysis_latency")
    (stretch,) = back["served"]
    live = [
        line for line in house.memory.history(name, event="live", newest_first=False) if line.at >= stretch["since"]
    ]
    assert (stretch["target"], stretch["percent"]) == ("api", 10)
    assert (stretch["since"], stretch["until"]) == (live[0].at, live[1].at)
    assert stretch["requests"] == back["answered"]["requests"] == (live[1].data or {})["answered"]["2"]["requests"] > 10


def test_the_verdict_of_a_version_is_told_with_its_findings_as_they_were_and_as_they_are(house: House) -> None:
    name = churn(house)
    told = ask(page_of(house), "/api/version", model=name, version=2).json
    assert (told["judged"]["call"], told["verdict"]["call"]) == ("loses", "superseded")
    gain = next(row for row in told["judged"]["findings"] if row["rule"] == "primary gains")
    assert gain["measured"].startswith("0.795")
    assert "the champion has 0.801" in gain["why"]
    said = ask(page_of(house), "/version", model=name, version=2).said
    assert "primary gains loses 0.795 (-0.006) ≥ +0.002" in said


def test_champion_and_challenger_are_shown_side_by_side_with_their_interval(house: House) -> None:
    name = house.model("measured", policy=MEASURED)
    house.evaluator.truth.update({1: 0.8, 2: 0.79})
    for _ in range(2):
        house.train(name, 0.9)
        house.rest(name, until=lambda: house.registry.read(name).champion == 1)
    house.rest(name)
    told = ask(page_of(house), "/api/version", model=name, version=2).json["evaluation"]
    assert told["rows"] == [["roc_auc", "10,000", "0.8", "0.79", "-0.01", "-0.011 to -0.009", "made up"]]
    (bar,) = told["bars"]
    assert bar["low"] < bar["gain"] < bar["high"] < bar["zero"] == told["track"]
    page = ask(page_of(house), "/version", model=name, version=2).text
    assert "Side by side on the holdout" in page
    assert "Look 1 on this holdout" in page
    # On a narrow screen cells of the class `none` are left out: the line of no gain is none of them.
    assert re.findall(r'<rect class="(\w+)"', page) == ["between", "at", "zero"]
    kept_whole = re.findall(r'data-label="(\w+)" class="whole">([\d,.+-]+)<', page)
    assert dict(kept_whole) == {"rows": "10,000", "champion": "0.8", "challenger": "0.79", "gain": "-0.01"}


def test_a_version_that_is_gone_from_the_registry_is_still_told_of(house: House) -> None:
    name = churn(house)
    house.registry.delete_version(name, 2)
    answer = ask(page_of(house), "/version", model=name, version=2)
    assert answer.status == 200
    assert "The registry has no such version any more." in answer.said
    assert "version 2 loses" in answer.said


def test_each_champion_is_told_with_since_when_and_why(house: House) -> None:
    reigns = ask(page_of(house), "/api/model", name=churn(house)).json["reigns"]
    assert [(reign["version"], reign["how"]) for reign in reigns] == [
        (7, "rollout"),
        (1, "order"),
        (3, "rollout"),
        (1, "rollout"),
    ]
    assert [reign["until"] for reign in reigns] == [None, *(reign["since"] for reign in reigns[:-1])]
    assert "alice used the command line to promote version 1." in reigns[1]["why"]
    assert reigns[0]["why"][0].startswith("version 7 wins: 0.846")


def test_each_order_is_shown_as_a_command_and_with_plain_mlflow(house: House) -> None:
    orders = {o["order"]: o for o in ask(page_of(house), "/api/model", name=cards(house)).json["orders"]}
    assert orders["abort"]["command"] == "watcher abort fraud.cards"
    assert orders["abort"]["mlflow"].endswith(
        "MlflowClient().delete_registered_model_alias('fraud.cards', 'challenger')"
    )
    assert "rollback" not in orders


def test_an_unreachable_registry_leaves_what_was_known_with_since_when(house: House) -> None:
    name = churn(house)
    app = page_of(house)
    before = ask(app, "/api/model", name=name).json
    out_of_reach(house)
    house.now += 60.0
    ask(app, "/model", name=name)
    house.now += 60.0
    answer = ask(app, "/model", name=name)
    assert answer.status == 200
    assert "The registry is not as of now: the registry at http://127.0.0.1:9 does not answer" in answer.said
    assert "60 s). What is shown was read 2 min ago" in answer.said
    now = ask(app, "/api/model", name=name).json
    assert now["status"] == before["status"]
    assert now["trouble"][0]["last"] == before["read"]


@pytest.mark.parametrize("path", ["/", "/model", "/version", "/history"])
def test_a_registry_that_was_never_reached_still_leaves_what_was_written_down(house: House, path: str) -> None:
    name = churn(house)
    out_of_reach(house)
    answer = ask(page_of(house), path, name=name, model=name, version=3)
    assert answer.status == 200
    assert {"/": name, "/model": "api v7 100 %", "/version": "displaced by an order"}.get(
        path, "crowned"
    ) in answer.said


@pytest.mark.parametrize("path", ["/", "/model", "/version", "/history"])
def test_a_ledger_out_of_reach_leaves_what_the_registry_says(house: House, path: str) -> None:
    name = churn(house)
    for verb in ("load", "history"):
        house.memory.fail(verb, Transient("the ledger is locked"), times=50)
    answer = ask(page_of(house), path, name=name, model=name, version=3)
    assert answer.status == 200
    assert "the ledger is locked" in answer.said


def test_a_target_that_cannot_be_seen_is_told_and_the_others_are_shown(house: House) -> None:
    name = cards(house)
    house.deployer.faults.fail("observe", Transient("no route to the gateway"), times=1)
    answer = ask(page_of(house), "/model", name=name)
    assert answer.status == 200
    assert "It cannot be seen: no route to the gateway" in answer.said
    assert "v2 challenger 10 %" in answer.said


def test_a_registry_that_hangs_costs_a_bounded_wait_and_one_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    name, go, calls = churn(house), threading.Event(), []

    def hanging(_: str) -> Marks:
        calls.append(1)
        assert go.wait(30.0)
        raise Transient("too late")

    monkeypatch.setattr(house.registry, "read", hanging)
    app = page_of(house, patience=0.05)
    begun = time.monotonic()
    answers = [ask(app, "/model", name=name) for _ in range(5)]
    assert time.monotonic() - begun < 5.0
    go.set()
    assert {answer.status for answer in answers} == {200}
    assert "no answer within 0.05 s" in answers[-1].said
    assert len(calls) == 1


def test_the_history_is_leafed_through_without_losing_or_repeating_a_line(house: House) -> None:
    name = churn(house)
    app = page_of(house)
    told: list[Any] = []
    query: dict[str, Any] | None = {"model": name}
    while query is not None:
        page = ask(app, "/api/history", **query).json
        told += page["lines"]
        query = {"model": name, **page["older"]} if page["older"] else None
    every = [*house.memory.history(name, most=10_000)]
    assert [(line["at"], line["event"], line["version"]) for line in told] == [
        (x.at, x.event, x.version) for x in every
    ]
    assert len(every) > 150


def test_what_was_live_at_a_moment_is_told_with_why(house: House) -> None:
    name = churn(house)
    crowned = next(x.at for x in house.memory.history(name, event="crowned", newest_first=False) if x.version == 3)
    told = ask(page_of(house), "/api/history", model=name, at=crowned + 60.0).json
    assert told["live"]["api"]["weights"] == {"3": 100}
    assert any("version 3 wins" in why for why in told["live"]["api"]["why"])


def test_a_moment_without_a_zone_is_one_of_utc(house: House) -> None:
    name = churn(house)
    told = ask(page_of(house), "/api/history", model=name, at="2026-09-22T12:00").json
    assert told["at"] == 1_790_078_400.0


@pytest.mark.parametrize("path", ["/", "/model", "/version", "/history"])
def test_the_page_and_its_twin_are_made_of_the_same_values(house: House, path: str) -> None:
    """Every number and name of the answer that a person looks for stands on the page."""
    name = churn(house)
    app = page_of(house)
    query: dict[str, Any] = {"name": name, "model": name, "version": 6}
    page, told = ask(app, path, **query).said, ask(app, "/api" + (path if path != "/" else "/models"), **query).json
    for line in told.get("lines") or told.get("history") or ():
        assert " ".join(line["said"].replace("`", " ").split()) in " ".join(page.split()) or "`" in line["said"]
    for order in told.get("orders", ()):
        assert order["command"] in page
    for entry in told.get("versions", ()):
        assert f"v{entry['version']} {entry['word']}" in page
    for entry in told.get("models", ()):
        assert f"{entry['model']} {entry['state']['word']}" in page


def test_a_pause_is_shown_with_the_way_out_of_it(house: House) -> None:
    name = churn(house)
    house.memory.save("#pause", {"format": 1, "paused": True, "who": "alice"}, None)
    told = ask(page_of(house), "/api/model", name=name).json
    assert told["state"]["code"] == "paused"
    assert told["orders"][0]["command"] == "watcher resume"


def test_a_hold_written_by_an_enemy_is_shown_as_text(house: House) -> None:
    name = churn(house)
    house.registry.hold(name, NASTY)
    assert "<img src=x onerror=alert(2)>" in ask(page_of(house), "/model", name=name).said


def test_a_timer_that_does_not_fire_any_more_is_seen_on_the_first_page(house: House) -> None:
    assert ask(page_of(house), "/api/models").json["heartbeat"] is None
    assert "timer" not in ask(page_of(house), "/").said
    heartbeat.beat(house.memory, house.now, "0 * * * * *")
    at = house.now
    house.now += 30.0
    assert ask(page_of(house), "/api/models").json["heartbeat"] == {"at": at, "stale": False}
    assert "The timer fired 30 s ago." in ask(page_of(house), "/").said
    house.now += 200.0
    assert ask(page_of(house), "/api/models").json["heartbeat"] == {"at": at, "stale": True}
    assert "The timer does not fire any more." in ask(page_of(house), "/").said


def test_a_champion_from_before_the_watch_is_shown_with_its_numbers(house: House) -> None:
    name = house.model("churn")
    first = house.train(name, 0.9)
    house.registry.set_alias(name, "champion", first)
    house.rest(name)
    worse = house.train(name, 0.7)
    house.rest(name)
    shown = ask(page_of(house), "/api/model", name=name).json["versions"]
    assert {entry["version"]: entry["value"] for entry in shown} == {first: 0.9, worse: 0.7}
