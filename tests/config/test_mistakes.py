"""A mistake is told with its line, its key, the value and the remedy; all of them at once; never a secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.config.conftest import GOOD, Desk
from watcher.config import kinds, load
from watcher.config.errors import ConfigError
from watcher.errors import UserError

PRIMARY = "6: policies.binary.primary"
CAREFUL = "9: rollouts.careful"
API = "15: models[0].targets[0]"
NO_GAIN = 'is not a difference; write a number from 0 up, such as 0.002, or a share such as "1%"'
NO_DURATION = "is not a duration; write a number and a unit, such as 500ms, 2s, 15m, 24h or 1d"
NO_TARGET_NAME = "does not fit: short name, one of its own within the model: letters, digits, '-' and '_'"
WRITE_SQLITE = (
    "write sqlite:///FILE (below the folder of the settings), sqlite:////FILE (absolute), table://ACCOUNT/TABLE or"
    " table+env://VARIABLE/TABLE"
)
WRITE_TABLE = (
    "write table://ACCOUNT/TABLE (own identity) or table+env://VARIABLE/TABLE (connection string in that environment"
    " variable); TABLE is 3 to 63 letters and digits, a letter first"
)
NO_MIRROR = "needs answers to compare; write mirror: 20 into the rollout, or leave this out"
TOO_LONG = "a mirror and 2 canary steps of 2400 s each do not fit into the deadline"
METRIC = "write one: name of the metric as it was logged"
NO_LIST = "is not a list; write [ ... ] or lines that begin with '-'"


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("policy: binary", "policy: binray", "12: models[0].policy: 'binray' is not a policy; did you mean 'binary'?"),
        ("policy: binary", "policy: other", "12: models[0].policy: 'other' is not a policy; there is binary"),
        (
            "rollout: careful",
            "rollout: carefull",
            "13: models[0].rollout: 'carefull' is not a rollout; did you mean 'careful'?",
        ),
        (
            "owner: me",
            "owner: me\nledger: postgres://u/x",
            f"3: ledger: 'postgres://u/x' is not the address of a ledger; {WRITE_SQLITE}",
        ),
        (
            "owner: me",
            "owner: me\nledger: table://account/my-ledger",
            f"3: ledger: 'table://account/my-ledger' is not the address of a table; {WRITE_TABLE}",
        ),
        ("owner: me", "ownr: me", "2: ownr: there is no key 'ownr'; did you mean 'owner'?"),
        ("{metric: auc}", "{metrc: auc}", f"{PRIMARY}.metric: the key is missing: name of the metric as it was logged"),
        ("{metric: auc}", "{metric: 5}", f"{PRIMARY}.metric: '5' is not text; put it in quotes"),
        (
            "policy: binary",
            "policy: {primary: auc}",
            "12: models[0].policy: this is not a text; write one: one of policies",
        ),
        (
            "{metric: auc}",
            "{metric: }",
            f"{PRIMARY}.metric: '' is empty; write one: name of the metric as it was logged",
        ),
        ("{metric: auc}", '{metric: ""}', f"{PRIMARY}.metric: '' is empty; write a value"),
        (
            "{metric: auc}",
            "{metric: auc, better: hihger}",
            f"{PRIMARY}.better: 'hihger' is not one of higher, lower; did you mean 'higher'?",
        ),
        (
            "{metric: auc}",
            "{metric: auc, min_gain: 1 %}",
            f"{PRIMARY}.min_gain: '1 %' {NO_GAIN}",
        ),
        (
            "{metric: auc}",
            "{metric: auc, min_gain: -1}",
            f"{PRIMARY}.min_gain: '-1' {NO_GAIN}",
        ),
        ("[10, 100]", "[10, 50]", f"{CAREFUL}.canary: this must be percentages above 0, the last of them 100"),
        ("[10, 100]", "[0, 100]", f"{CAREFUL}.canary: this must be percentages above 0, the last of them 100"),
        ("[10, 100]", "[]", f"{CAREFUL}.canary: this must be percentages above 0, the last of them 100"),
        ("[10, 100]", "[50, 10, 100]", f"{CAREFUL}.canary: this must rise from step to step"),
        ("[10, 100]", "[10, ten, 100]", f"{CAREFUL}.canary[1]: 'ten' is not a whole number"),
        ("[10, 100]", "[10.5, 100]", f"{CAREFUL}.canary[0]: '10.5' is not a whole number"),
        ("[10, 100]", "100", f"{CAREFUL}.canary: '100' {NO_LIST}"),
        ("[10, 100]", "[10, 100]\n    mirror: 101", "10: rollouts.careful.mirror: '101' is too large; at most 100"),
        (
            "[10, 100]",
            "[10, 100]\n    analysis: {max_disagreement: 0.1}",
            f"10: rollouts.careful.analysis.max_disagreement: {NO_MIRROR}",
        ),
        (
            "[10, 100]",
            "[10, 100]\n    mirror: 20\n    bake: 40m",
            f"11: rollouts.careful.bake: {TOO_LONG} of 7200 s",
        ),
        (
            "canary: [10, 100]",
            "bake: 15",
            f"{CAREFUL}.bake: '15' {NO_DURATION}",
        ),
        (
            "canary: [10, 100]",
            "bake: 2h",
            f"{CAREFUL}.bake: 3 canary steps of 7200 s each do not fit into the deadline of 7200 s",
        ),
        ("canary: [10, 100]", "deadline: 0s", f"{CAREFUL}.deadline: '0s' must be longer than zero"),
        (
            "canary: [10, 100]",
            "probe: {example: model, file: rows.json}",
            f"{CAREFUL}.probe: write either example: model or file: NAME",
        ),
        (
            "canary: [10, 100]",
            "analysis: {max_p95_ratio: 0.5}",
            f"{CAREFUL}.analysis.max_p95_ratio: '0.5' is too small; at least 1",
        ),
        (
            "canary: [10, 100]",
            "analysis: {max_error_increase: .nan}",
            f"{CAREFUL}.analysis.max_error_increase: '.nan' is not a finite number",
        ),
        ("version: 1", "version: 2", "1: version: '2' is not a format that is known; write 1"),
        ("version: 1", "version: true", "1: version: 'true' is not a format that is known; write 1"),
        ("version: 1", "# none", "2: version: the key is missing: of this format"),
        (
            'registry: {uri: "http://127.0.0.1:5000"}',
            "registry: here",
            "3: registry: 'here' is not a mapping of keys to values; the keys are uri, tracking_uri, marks",
        ),
        ("  - name: churn", "  - mode: deploy", "11: models[0]: write a name or a match"),
        (
            "    policy: binary",
            "    match: c*\n    policy: binary",
            "11: models[0]: write name and match in two entries",
        ),
        (
            "name: api, kind: local-endpoint",
            "name: api, kind: local-endpont",
            f"{API}.kind: 'local-endpont' is not a kind of target; did you mean 'local-endpoint'?",
        ),
        (
            "kind: local-endpoint, port: 5001",
            "kind: local-endpoint, prot: 5001",
            f"{API}.port: the key is missing: public port",
        ),
        ("port: 5001", "port: high", f"{API}.port: 'high' is not a whole number"),
        (
            "port: 5001",
            'port: "5001"',
            f"{API}.port: '5001' stands in quotes, which make it text; remove them",
        ),
        ("port: 5001", "port: 70000", f"{API}.port: '70000' is too large; at most 65535"),
        (
            "port: 5001",
            "port: 5001, memory: 1gb",
            f"{API}.memory: '1gb' is not a size; write a number and a unit, such as 512m or 1g",
        ),
        ("port: 5001", "port: 5001, autostart: yes", f"{API}.autostart: 'yes' is neither true nor false"),
        (
            "name: api, kind: local-endpoint, port: 5001",
            "name: api, kind: azureml-online, endpoint: e",
            (
                f"{API}.workspace: the key is missing:"
                " the workspace, as SUBSCRIPTION/RESOURCE-GROUP/NAME or its resource id"
            ),
        ),
        (
            "name: api,",
            'name: "../api",',
            f"{API}.name: '../api' {NO_TARGET_NAME}",
        ),
    ],
)
def test_a_mistake_reads_as(desk: Desk, old: str, new: str, mistake: str) -> None:
    assert mistake in desk.wrong(old, new)


def test_all_mistakes_are_told_in_the_order_of_the_file(desk: Desk) -> None:
    text = GOOD.replace("owner: me", "owner: 5").replace("metric: auc", "metric: auc, min_gian: 1")
    text = text.replace("[10, 100]", "[10]").replace("policy: binary", "policy: binray").replace("5001", "true")
    assert desk.mistakes(text) == [
        "2: owner: '5' is not text; put it in quotes",
        "6: policies.binary.primary.min_gian: there is no key 'min_gian'; did you mean 'min_gain'?",
        "9: rollouts.careful.canary: this must be percentages above 0, the last of them 100",
        "12: models[0].policy: 'binray' is not a policy; did you mean 'binary'?",
        "15: models[0].targets[0].port: 'true' is not a whole number",
    ]


def test_a_key_that_is_there_twice_is_told_with_both_lines(desk: Desk) -> None:
    assert desk.wrong("owner: me", "owner: me\nowner: you") == [
        "3: owner: the key is here twice, first in line 2; remove one"
    ]


def test_a_name_and_a_pattern_may_each_stand_once(desk: Desk) -> None:
    again = GOOD[GOOD.index("  - name: churn") :]
    assert desk.mistakes(GOOD + again.replace("5001", "5002")) == [
        "16: models[1].name: 'churn' is already in models[0]; keep one"
    ]


@pytest.mark.parametrize(
    ("target", "same"),
    [
        ("{name: a, kind: local-endpoint, port: 5001}", "{name: b, kind: local-endpoint, port: 5001, memory: 1g}"),
        ("{name: a, kind: local-endpoint, port: 5001}", "{name: b, kind: local-endpoint, port: 5001, host: LOCALHOST}"),
        (
            "{name: a, kind: azureml-online, workspace: w, endpoint: e}",
            "{name: b, kind: azureml-online, workspace: w, endpoint: e, instance_type: big}",
        ),
        ("{name: a, kind: stream, pointer: p.json}", "{name: b, kind: stream, pointer: ./p.json}"),
        (
            '{name: a, kind: mlflow-plugin, plugin: "x:/y", deployment: d}',
            '{name: b, kind: mlflow-plugin, plugin: "x:/y", deployment: d, config: {size: big}}',
        ),
    ],
)
def test_two_models_at_one_place_are_a_mistake(desk: Desk, target: str, same: str) -> None:
    entry = "  - name: other\n    policy: binary\n    targets:\n      - "
    text = desk.changed("{name: api, kind: local-endpoint, port: 5001}", target) + entry + same + "\n"
    assert desk.mistakes(text) == [
        "19: models[1].targets[0]: this is the same place as models[0].targets[0]; a place serves one model"
    ]


def test_a_place_of_somebody_elses_kind_is_all_its_settings_in_any_order() -> None:
    assert kinds.place("somebodys", {"x": 1, "y": [2]}) == kinds.place("somebodys", {"y": [2], "x": 1})
    assert kinds.place("somebodys", {"x": 1}) != kinds.place("somebodys", {"x": 2})


def test_two_targets_of_one_model_at_one_place_are_a_mistake_too(desk: Desk) -> None:
    found = desk.mistakes(GOOD + "      - {name: second, kind: local-endpoint, port: 5001}\n")
    assert found == [
        "16: models[0].targets[1]: this is the same place as models[0].targets[0]; a place serves one model"
    ]


def test_a_target_name_is_one_targets_own(desk: Desk) -> None:
    found = desk.mistakes(GOOD + "      - {name: api, kind: local-endpoint, port: 5002}\n")
    assert found == ["16: models[0].targets[1].name: 'api' is the name of another target of this model"]


def test_a_pattern_whose_models_would_share_one_place_is_a_mistake(desk: Desk) -> None:
    assert desk.wrong("name: churn", "match: churn-*") == [
        "15: models[0].targets[0]: every model that matches would be served at this one place; put {model_slug} into it"
    ]


def test_a_floor_above_the_ceiling_of_the_same_metric_is_a_mistake(desk: Desk) -> None:
    text = desk.changed("primary: {metric: auc}", "primary: {metric: auc}\n    floors: {f: 2}\n    ceilings: {f: 1}")
    assert desk.mistakes(text) == ["7: policies.binary.floors.f: the floor 2 is above the ceiling 1"]


# What is no settings file at all


def test_a_missing_file_says_where_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: there is no such file; .*watch\.example\.yaml"):
        load(tmp_path / "none.yaml", {})


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_file_says_what_to_write(desk: Desk, text: str) -> None:
    (mistake,) = desk.mistakes(text)
    assert "policies and models" in mistake or "keys and values" in mistake


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "5\n"])
def test_a_file_that_holds_no_keys_says_so(desk: Desk, text: str) -> None:
    assert desk.mistakes(text) == ["1: the file must hold keys and values, such as `version: 1`"]


def test_a_folder_in_place_of_the_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (b"version: 1\nowner: m\xfcnchen\n", "2: this line is not UTF-8; save the file in that encoding"),
        (b"version: 1\nregistry:\n\turi: x\n", "3: a tab stands where YAML wants spaces; indent with spaces"),
        (b"version: 1\nowner: a\x00b\n", "2: a control character stands here; remove it"),
        (b"a: 1\n---\nb: 2\n", "2: this is not YAML: but found another document"),
        (b"a: [1\n", "2: this is not YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: b: c\n", "1: this is not YAML: mapping values are not allowed here"),
        (b"a: *.none\n", "1: a text that begins with '*' needs quotes"),
        (b"a: {b: ${NAME}}\n", '1: inside { } and [ ] a reference needs quotes; write "${NAME}"'),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(desk: Desk, text: bytes, mistake: str) -> None:
    (found,) = desk.mistakes(text)
    assert found.split(": ", 1)[1] == mistake.split(": ", 1)[1]


def test_a_byte_order_mark_does_no_harm(desk: Desk) -> None:
    assert desk.load(b"\xef\xbb\xbf" + GOOD.encode()).owner == "me"


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [id]", "!mine 5", "!!binary aGk=", "!!set {a, b}"])
def test_tags_make_nothing_happen(desk: Desk, value: str) -> None:
    found = desk.wrong("owner: me", f"owner: {value}")
    assert any(line.startswith("2: owner: ") for line in found)


def test_merge_keys_are_refused_and_aliases_are_read(desk: Desk) -> None:
    text = desk.changed("primary: {metric: auc}", "primary: &p {metric: auc}\n  second: {primary: *p}")
    assert desk.load(text).policies["second"].primary.metric == "auc"
    assert "<<" in "".join(desk.mistakes(text.replace("{primary: *p}", "{<<: *p, primary: *p}")))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "a: " + "[" * 100 + "]" * 100 + "\n",
        "a: " + "[" * 50_000 + "\n",
        "a: " + "{b: " * 3000 + "\n",
        "x: " + "y" * 1_100_000 + "\n",
        "a: [" + "1, " * 60_000 + "]\n",
    ],
    ids=["laughs", "itself", "itself in a mapping", "deep", "very deep", "deep mappings", "large", "many"],
)
def test_a_bomb_ends_as_a_mistake_and_soon(desk: Desk, text: str) -> None:
    began = time.monotonic()
    assert len(desk.mistakes(text)) == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("key", ["5: x", "[a]: x", "{a: b}: x", "true: x", "null: x", "~: x"])
def test_a_key_that_is_no_text_is_a_mistake(desk: Desk, key: str) -> None:
    assert any("cannot be a key" in line for line in desk.mistakes(GOOD + key + "\n"))


def test_what_a_mistake_shows_of_the_file_is_one_line_without_anything_invisible(desk: Desk) -> None:
    (found,) = desk.wrong("policy: binary", 'policy: "a\\n\\e[31mred\\u202e"')
    assert found.startswith("12: models[0].policy: 'a ")
    assert found.isprintable()


# The environment


def test_references_are_filled_in_anywhere_in_a_text(desk: Desk) -> None:
    text = desk.changed("http://127.0.0.1:5000", "http://${HOST}:${PORT:-80}/${PATH_:-}x")
    assert desk.load(text, HOST="h").registry.uri == "http://h:80/x"
    assert desk.load(text, HOST="h", PORT="81", PATH_="p/").registry.uri == "http://h:81/p/x"
    assert desk.load(text, HOST="h", PORT="").registry.uri == "http://h:80/x"


def test_an_unquoted_reference_is_read_as_if_its_value_stood_there(desk: Desk) -> None:
    text = desk.changed("owner: me", "owner: me\nlimits:\n  rollouts_at_once: ${MOST}")
    assert desk.load(text, MOST="7").limits.rollouts_at_once == 7
    assert desk.mistakes(text, MOST="x") == ["4: limits.rollouts_at_once: '${MOST}' is not a whole number"]
    assert desk.mistakes(text, MOST="") == ["4: limits.rollouts_at_once: '${MOST}' is not a whole number"]


def test_a_quoted_reference_may_stand_for_a_number_or_a_switch(desk: Desk) -> None:
    text = desk.changed("port: 5001", 'port: "${PORT}", autostart: "${START}"')
    settings = desk.load(text, PORT="6000", START="false")
    assert (settings.models[0].targets[0]["port"], settings.models[0].targets[0]["autostart"]) == (6000, False)
    assert desk.mistakes(text, PORT="6e3", START="no") == [
        "15: models[0].targets[0].port: '${PORT}' is not a whole number",
        "15: models[0].targets[0].autostart: '${START}' is neither true nor false",
    ]
    gain = desk.changed("{metric: auc}", '{metric: auc, min_gain: "${GAIN}"}\n    floors: {auc: "${FLOOR}"}')
    policy = desk.load(gain, GAIN="0.01", FLOOR="0.7").policies["binary"]
    assert (policy.primary.min_gain, policy.floors) == (0.01, {"auc": 0.7})
    assert desk.load(gain, GAIN="1%", FLOOR="0.7").policies["binary"].primary.relative


def test_a_reference_stays_text_where_text_is_asked_for(desk: Desk) -> None:
    assert desk.load(desk.changed("owner: me", 'owner: "${OWNER}"'), OWNER="007").owner == "007"


def test_what_the_environment_puts_in_is_a_value_and_never_yaml(desk: Desk) -> None:
    text = desk.changed("http://127.0.0.1:5000", "${URI}")
    assert desk.load(text, URI='x", marks: "tag').registry.uri == 'x", marks: "tag'
    assert desk.load(text, URI="${OTHER}").registry.uri == "${OTHER}"


def test_a_missing_variable_is_named_once_and_makes_no_second_mistake(desk: Desk) -> None:
    assert desk.wrong("port: 5001", 'port: "${PORT}"') == [
        f"{API}.port: the environment has no variable PORT; set it, or write ${{PORT:-value}} for a default"
    ]
    assert desk.wrong("policy: binary", "policy: ${POLICY}") == [
        "12: models[0].policy: the environment has no variable POLICY; set it, or write ${POLICY:-value} for a default"
    ]


@pytest.mark.parametrize("text", ["${}", "${A", "${A-B}", "${1}", "${A:=b}", "${A:-${B}}", "$${"])
def test_a_broken_reference_is_a_mistake(desk: Desk, text: str) -> None:
    found = desk.wrong("http://127.0.0.1:5000", text, A="a", B="b")
    assert found == ["3: registry.uri: '${' begins no reference; write ${NAME} or ${NAME:-default}"]


@pytest.mark.parametrize(
    "line",
    [
        'registry: {uri: "postgresql://me:hunter2@db/mlflow"}',
        'registry: {uri: "postgresql://${USER}:hunter2@db/mlflow"}',
        'registry: {uri: "${URI:-postgresql://me:hunter2@db/mlflow}"}',
        'registry: {uri: "http://x", marks: "http://me:hunter2@x"}',
        'registry: {uri: "https://x/?sig=hunter2"}',
        'registry: {uri: "AccountName=a;AccountKey=hunter2;"}',
        'registry: {uri: "http://x", password: hunter2}',
        'registry: {uri: "http://x", api_key: [hunter2]}',
    ],
)
def test_a_secret_that_is_spelled_out_is_a_mistake_that_does_not_show_it(desk: Desk, line: str) -> None:
    found = desk.wrong('registry: {uri: "http://127.0.0.1:5000"}', line)
    assert any("spells a secret out; write a reference such as ${NAME}" in each for each in found)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    "uri",
    ["http://h:5000/a@b", "postgresql://${U}:${P}@db/x", "postgresql://${LOGIN}@db/x", "https://x/?sig=${P}"],
)
def test_a_secret_from_the_environment_is_taken_and_never_shown(desk: Desk, uri: str) -> None:
    secret = {"U": "me", "P": "hunter2", "LOGIN": "me:hunter2"}
    settings = desk.load(desk.changed("http://127.0.0.1:5000", uri), **secret)
    assert "hunter2" not in repr(settings)
    text = desk.changed("http://127.0.0.1:5000", uri).replace("owner: me", "ownr: ${P}")
    text = text.replace("{metric: auc}", '{metric: auc, better: "${P}", min_gain: "${P}"}')
    text = text.replace("policy: binary", 'policy: "${P}"')
    assert "hunter2" not in "".join(desk.mistakes(text, **secret))


@pytest.mark.parametrize("url", ["tgram://hunter2/1", "${URL:-tgram://hunter2/1}", "tgram://${TOKEN}/1", "json://x"])
def test_an_address_to_notify_is_never_written_out(desk: Desk, url: str) -> None:
    environ = {"URL": "json://hunter2", "TOKEN": "hunter2"}
    found = desk.mistakes(f'{GOOD}notify: {{urls: ["{url}"]}}\n', **environ)
    problem = "such an address is a secret; write a reference such as ${NOTIFY_URL} in its place"
    assert found == [f"16: notify.urls[0]: {problem}"]


def test_an_address_from_the_environment_is_taken_and_never_shown(desk: Desk) -> None:
    text = GOOD + 'notify: {urls: ["${URL}"], events: [won, lost]}\n'
    settings = desk.load(text, URL="json://bob:hunter2@host")
    assert settings.notify.urls == ("json://bob:hunter2@host",)
    assert settings.notify.events == {"won", "lost"}
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in "".join(desk.mistakes(text.replace("lost]", "lots]"), URL="json://bob:hunter2@host"))
    assert desk.mistakes(text, URL="") == ["16: notify.urls[0]: '${URL}' is empty; write a value"]


def test_a_model_without_targets_can_only_be_advised_on(desk: Desk) -> None:
    text = GOOD[: GOOD.index("    targets:")]
    with pytest.raises(ConfigError) as caught:
        desk.load(text)
    assert "name at least one target, or write mode: advise" in str(caught.value)
    assert desk.load(text + "    mode: advise\n").models[0].targets == ()
