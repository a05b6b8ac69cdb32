"""Whatever a client sends or a model says, an endpoint answers, goes on, and its log stays a log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.gateway import world
from tests.gateway.world import BODY, COLUMNS, Endpoint
from tests.hostile import strategies as hostile

pytestmark = pytest.mark.slow

TABLES = st.fixed_dictionaries(
    {
        "dataframe_split": st.fixed_dictionaries(
            {"columns": st.just(COLUMNS) | hostile.values(), "data": st.lists(hostile.values(), max_size=2)}
        )
        | hostile.values()
    },
    optional={"params": hostile.values(), "inputs": hostile.values(), "instances": hostile.values()},
)
BODIES = (
    TABLES.map(lambda table: json.dumps(table).encode())
    | hostile.yaml_texts().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=200)
    | st.sampled_from(hostile.DEEP_JSON).map(str.encode)
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
KINDS = (
    st.sampled_from(("application/json", "text/csv", "application/json; charset=utf-7", "text/csv; charset=x")) | HEADER
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway")) as home:
        yield Endpoint(home).serving(world.linear())


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(body=BODIES, kind=KINDS)
def test_any_body_is_answered_and_the_next_request_is_served_by_the_same_process(
    body: bytes, kind: str, endpoint: Endpoint
) -> None:
    pid = endpoint.release("r1")["pid"]
    answer = endpoint.ask(body, headers={"Content-Type": kind})
    assert answer.status in {200, 400, 415, 500}, answer
    assert (answer.release, answer.headers["x-model-version"]) == ("r1", "1")
    assert b"<script" not in answer.body or "html" not in answer.headers["content-type"]
    assert endpoint.ask(BODY).status == 200
    assert endpoint.release("r1")["pid"] == pid


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(path=st.lists(hostile.texts(100), max_size=4), body=hostile.values())
def test_any_admin_request_is_refused_in_words_and_changes_nothing(
    path: list[str], body: object, endpoint: Endpoint
) -> None:
    from urllib.parse import quote

    from gateway import control

    before = endpoint.state
    parts = [quote(part.encode("utf-8", "surrogatepass"), safe="") for part in path]
    for whole in ("/" + "/".join(parts), "/endpoints/" + "/".join(parts), "/endpoints/e/releases/" + "/".join(parts)):
        status, told = control.ask(endpoint.home, "PUT", whole, body)
        assert 400 <= status < 500, (whole, told)
        assert hostile.is_plain(str(told["message"])), told
    after = endpoint.state
    assert (after["weights"], sorted(after["releases"])) == (before["weights"], sorted(before["releases"]))


def test_what_a_model_asks_for_cannot_forge_the_log(endpoint: Endpoint, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(world.linear(), model)
    (model / "requirements.txt").write_text("nothing-\x1b[2J\x1b]0;title\x07\u202e==1\r2026 INFO forged\n")
    endpoint.launch("r2", model, 2)
    assert endpoint.settled("r2")["state"] == "failed"
    log = (endpoint.home / "gateway.log").read_text()
    told = [line for line in log.split("\n") if "e/r2" in line]
    assert told
    assert all(hostile.is_plain(line) for line in told), told
