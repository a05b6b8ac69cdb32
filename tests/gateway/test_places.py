"""Where a release runs: forked, in a process of its own, or in an environment of its own; and what ends it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gateway import environments, priority, suitable
from gateway.errors import StartFailed
from tests.gateway import pids, world
from tests.gateway.world import Answered, Endpoint

pytestmark = pytest.mark.slow
LIMITS = {"request": 3.0, "ping": 2.0, "wait": 8.0, "start": 60.0}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway"), **LIMITS) as home:
        yield Endpoint(home).serving(world.linear())


def parent_of(pid: int) -> str:
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    return Path(f"/proc/{parent}/cmdline").read_text()


def described(model: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy of the model with other words in its MLmodel file, or other requirements."""
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    if "requirements" in changes:
        (copy / "requirements.txt").write_text(changes.pop("requirements"))
    text = (copy / "MLmodel").read_text()
    for old, new in changes.pop("replace", {}).items():
        assert old in text
        text = text.replace(old, new)
    (copy / "MLmodel").write_text(text)
    return copy


def test_a_linear_model_is_forked(endpoint: Endpoint) -> None:
    assert "gateway.zygote" in parent_of(endpoint.release("r1")["pid"])


def test_releases_load_behind_those_that_serve(endpoint: Endpoint) -> None:
    zygote, ready = pids.zygote(endpoint.home), endpoint.release("r1")["pid"]
    behind, abreast = (Path(f"/proc/{pid}/autogroup").read_text().split("nice")[-1].strip() for pid in (zygote, ready))
    assert os.getsid(zygote) == zygote != os.getsid(ready) == ready
    # Empty where the kernel does not share its cores between sessions.
    assert (behind, abreast) in {(str(priority.LOADING), "0"), ("", "")}


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_a_forked_release_is_ready_in_a_moment(endpoint: Endpoint, form: str) -> None:
    begun = time.monotonic()
    endpoint.ready(f"quick-{form}", world.linear(form), 2)
    assert time.monotonic() - begun < 1.5


def test_a_python_model_gets_a_process_of_its_own(endpoint: Endpoint) -> None:
    endpoint.ready("own", world.python_model("answers", "return [42.0]"), 3)
    assert "gateway.server" in parent_of(endpoint.release("own")["pid"])
    endpoint.weigh({"own": 100})
    assert endpoint.ask().json() == {"predictions": [42.0]}
    endpoint.weigh({"r1": 100})


@pytest.mark.parametrize(
    "estimator", ["HistGradientBoostingRegressor", "RandomForestRegressor", "KNeighborsRegressor", "KMeans"]
)
def test_models_that_use_openmp_answer_after_a_fork(endpoint: Endpoint, estimator: str) -> None:
    endpoint.ready(estimator.lower(), fitted(estimator), 4)
    assert "gateway.zygote" in parent_of(endpoint.release(estimator.lower())["pid"])
    endpoint.weigh({estimator.lower(): 100})
    assert {endpoint.ask().status for _ in range(3)} == {200}
    endpoint.weigh({"r1": 100})


def fitted(estimator: str) -> Path:
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.cluster import KMeans
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.neighbors import KNeighborsRegressor

    kinds: dict[str, Any] = {
        "HistGradientBoostingRegressor": HistGradientBoostingRegressor(max_iter=5),
        "RandomForestRegressor": RandomForestRegressor(5, n_jobs=2),
        "KNeighborsRegressor": KNeighborsRegressor(),
        "KMeans": KMeans(3, n_init=1),
    }
    frame = pd.DataFrame(np.random.default_rng(3).normal(size=(200, 4)), columns=world.COLUMNS)
    model = kinds[estimator].fit(frame, frame.sum(axis=1))
    path = world.folder() / estimator
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(frame, model.predict(frame)),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    return path


def test_code_that_cannot_be_imported_is_told_in_one_line(endpoint: Endpoint) -> None:
    broken = world.python_model("cannot-load", "return [1.0]")
    code = next(broken.glob("*.py"))
    code.write_text("import a_library_nobody_has\n" + code.read_text())
    endpoint.launch("cannot-load", broken, 5)
    found = endpoint.settled("cannot-load")
    assert found["state"] == "failed"
    assert found["detail"].endswith("No module named 'a_library_nobody_has'")
    assert "\n" not in found["detail"]
    assert "Traceback" in (endpoint.home / "releases" / "e" / "cannot-load" / "log").read_text()


NEEDED = suitable.Place(suitable.ENVIRONMENT, "2.6", ("six==0.1",), "it was made with Python 2.6")


def test_what_is_missing_for_an_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(program: str | None) -> str:
        monkeypatch.setattr(environments, "uv", lambda: program)
        with pytest.raises(StartFailed) as told:
            asyncio.run(environments.Environments(tmp_path, 30).python(NEEDED, tmp_path / "log"))
        assert not [path for path in tmp_path.iterdir() if path.is_dir()], "nothing half built is left"
        return str(told.value)

    assert "uv, which builds it, is not installed" in refusal(None)
    assert "there is no Python 2.6 on this machine" in refusal(script(tmp_path / "uv", "exit 2"))
    broken = script(tmp_path / "uv", 'test "$1" = venv || { echo "no such version of six" >&2; exit 1; }')
    assert "building it failed: no such version of six" in refusal(broken)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_an_environment_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    build = script(
        tmp_path / "uv", f'if test "$1" = venv; then echo x >>{count}; for last; do :; done; mkdir "$last"; fi'
    )
    monkeypatch.setattr(environments, "uv", lambda: build)

    async def thrice() -> list[str]:
        made = environments.Environments(tmp_path / "envs", 30)
        return await asyncio.gather(*(made.python(NEEDED, tmp_path / "log") for _ in range(3)))

    (tmp_path / "envs").mkdir()
    assert set(asyncio.run(thrice())) == {str(tmp_path / "envs" / NEEDED.digest / "bin" / "python")}
    assert count.read_text() == "x\n"


def test_a_target_that_says_local_never_builds_an_environment(endpoint: Endpoint, tmp_path: Path) -> None:
    model = described(world.linear(), tmp_path, requirements="scikit-learn==0.1\nno-such-thing==9\n")
    endpoint.ready("local", model, 7, env="local")
    assert not list((endpoint.home / "envs").iterdir())


def test_a_process_that_dies_while_it_loads_is_told(endpoint: Endpoint) -> None:
    model = world.python_model("dies", "return [1.0]")
    code = next(model.glob("*.py"))
    code.write_text("import os, sys\nprint('the last words', file=sys.stderr, flush=True)\nos._exit(3)\n")
    endpoint.launch("dies", model, 8)
    found = endpoint.settled("dies")
    assert found["state"] == "failed"
    assert "the last words" in found["detail"]


def test_a_request_beyond_its_time_is_answered_504_and_the_worker_replaced(endpoint: Endpoint) -> None:
    model = world.python_model(
        "sleeps", "import time\nif model_input.iloc[0, 0] > 100:\n    time.sleep(30)\nreturn [1.0]"
    )
    endpoint.ready("sleeps", model, 9)
    endpoint.weigh({"sleeps": 100})
    pid = endpoint.release("sleeps")["pid"]
    stuck = world.BODY.replace(b"0.5", b"500.5")
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(endpoint.ask, stuck)
        time.sleep(0.2)  # the second waits behind the first
        other = pool.submit(endpoint.ask)
        answer = asked.result()
        assert (answer.status, answer.body) == (504, b"Request processing time exceeded limit")
        assert other.result().status in (200, 504)
    world.wait_until(lambda: endpoint.release("sleeps")["pid"] not in (None, pid))
    assert endpoint.ask().status == 200
    assert "3 seconds" in endpoint.release("sleeps")["detail"]
    endpoint.weigh({"r1": 100})


def test_a_worker_that_was_stopped_is_replaced_and_keeps_only_the_requests_that_it_was_given_at_first(
    endpoint: Endpoint,
) -> None:
    endpoint.ready("hangs", world.linear(), 10)
    endpoint.weigh({"hangs": 50, "r1": 50})
    pid = endpoint.release("hangs")["pid"]
    os.kill(pid, signal.SIGSTOP)
    asked: list[Future[Answered]] = []
    with ThreadPoolExecutor(64) as pool:

        def replaced() -> bool:
            asked.append(pool.submit(endpoint.ask))
            time.sleep(0.1)
            return endpoint.release("hangs")["pid"] not in (None, pid)

        world.wait_until(replaced)
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers if answer.release == "r1"} == {200}
    of_it = [answer.status for answer in answers if answer.release == "hangs"]
    assert of_it == sorted(of_it, reverse=True), "from some moment on they wait for the other worker"
    assert set(of_it) == {502, 200}
    assert "said nothing" in endpoint.release("hangs")["detail"]
    endpoint.weigh({"r1": 100})


def test_a_worker_that_is_too_busy_to_say_anything_is_left_alone(endpoint: Endpoint) -> None:
    model = world.python_model(
        "computes",
        "import sys, time\n"
        "sys.setswitchinterval(100)\n"
        f"until = time.monotonic() + {1.3 * LIMITS['ping']}\n"
        "while time.monotonic() < until:\n"
        "    pass\n"
        "sys.setswitchinterval(0.005)\n"
        "return [1.0]",
    )
    endpoint.ready("computes", model, 14)
    endpoint.weigh({"computes": 100})
    pid = endpoint.release("computes")["pid"]
    assert endpoint.ask().status == 200
    assert endpoint.release("computes")["pid"] == pid
    endpoint.weigh({"r1": 100})


def test_a_worker_above_its_memory_is_replaced_and_says_so(endpoint: Endpoint) -> None:
    model = world.python_model(
        "grows", "global heap\nif model_input.iloc[0, 0] > 100:\n    heap = b'x' * (300 << 20)\nreturn [1.0]"
    )
    endpoint.ready("grows", model, 11, memory=300 << 20)
    endpoint.weigh({"grows": 100})
    pid = endpoint.release("grows")["pid"]
    endpoint.ask(world.BODY.replace(b"0.5", b"500.5"))
    world.wait_until(lambda: endpoint.release("grows")["pid"] not in (None, pid))
    assert "more than the 300 MiB" in endpoint.release("grows")["detail"]
    assert endpoint.ask().status == 200
    endpoint.weigh({"r1": 100})


def test_a_bound_that_the_model_cannot_load_within_fails_the_release(endpoint: Endpoint) -> None:
    endpoint.launch("tight", world.linear(), 12, memory=10 << 20)
    wait = endpoint.settled("tight")
    if wait["state"] == "ready":  # it was quicker than the first look
        world.wait_until(lambda: endpoint.release("tight")["state"] != "ready")
    assert "more than the 10 MiB" in endpoint.release("tight")["detail"]


def test_a_worker_that_crashes_on_a_request_costs_that_request_only(endpoint: Endpoint) -> None:
    model = world.python_model("crashes", "import os\nif model_input.iloc[0, 0] > 100:\n    os._exit(1)\nreturn [1.0]")
    endpoint.ready("crashes", model, 13)
    endpoint.weigh({"crashes": 100})
    answer = endpoint.ask(world.BODY.replace(b"0.5", b"500.5"))
    assert (answer.status, answer.release) == (502, "crashes")
    assert answer.json()["error_code"] == "BAD_GATEWAY"
    assert endpoint.ask().status == 200, "it waits for the worker that comes"
    endpoint.weigh({"r1": 100})


def test_requirements_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    sklearn = metadata.version("scikit-learn")
    for text, fits in {
        f"scikit-learn=={sklearn}\n": True,
        f"scikit-learn=={sklearn}  # a remark\n\n# another\n": True,
        "scikit-learn>=1\nnumpy\n": True,
        "scikit-learn==0.1\n": False,
        "scikit-learn==0.1; python_version < '3'\n": True,
        "no-such-library\n": False,
        "--extra-index-url https://example.org\nnumpy\n": False,
        "git+https://example.org/x.git\n": False,
        "": True,
    }.items():
        folder = described(world.linear(), tmp_path / str(abs(hash(text))), requirements=text)
        place = suitable.place_of(folder, "auto")
        assert (place.kind == suitable.FORK) is fits, (text, place)


def test_the_same_requirements_make_the_same_environment() -> None:
    one = suitable.Place(suitable.ENVIRONMENT, "3.11", ("a==1", "b==2"))
    assert one.digest == suitable.Place(suitable.ENVIRONMENT, "3.11", ("b==2", "a==1")).digest
    assert one.digest != suitable.Place(suitable.ENVIRONMENT, "3.12", ("a==1", "b==2")).digest


@pytest.mark.long
def test_a_model_with_other_libraries_gets_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = Path(__file__).parents[2] / ".venv-uv" / "bin"
    monkeypatch.setenv("PATH", os.pathsep.join((os.environ["PATH"], str(bootstrap))))
    model = world.python_model(
        "other",
        "import six\nreturn [float(six.__version__.split('.')[1])]",
        (f"mlflow=={metadata.version('mlflow')}", "six==1.16.0"),
    )
    assert metadata.version("six") != "1.16.0"
    with world.running(tmp_path / "gateway", start=300.0) as home:
        endpoint = Endpoint(home)
        endpoint.launch("other", model)
        world.wait_until(lambda: endpoint.release("other")["state"] != "starting", patience=600)
        assert endpoint.release("other")["state"] == "ready", endpoint.release("other")
        endpoint.weigh({"other": 100})
        assert endpoint.ask().json() == {"predictions": [16.0]}
        pid = endpoint.release("other")["pid"]
        assert str(home.resolve() / "envs") in Path(f"/proc/{pid}/cmdline").read_text()
        made = list((home / "envs").iterdir())
        begun = time.monotonic()
        endpoint.ready("again", model, 2)
        assert time.monotonic() - begun < 60
        assert list((home / "envs").iterdir()) == made
