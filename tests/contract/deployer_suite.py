"""What every deployer must do: inherit `DeployerContract` and override its fixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from watcher.errors import Conflict, Terminal
from watcher.naming import release_name
from watcher.ports import Deployer, Mirroring, mirrors
from watcher.values import Example, Mirrored, Observed, Release, SeenRelease, State, Target, Traffic, Version

MakeVersion = Callable[[int], Version]
WaitUntil = Callable[[Callable[[], bool]], None]
Refused = (Conflict, Terminal)


class Bench:
    """A deployer, one target of it, and what tests ask of the two all the time."""

    def __init__(self, deployer: Deployer, target: Target, wait_until: WaitUntil) -> None:
        self.deployer = deployer
        self.target = target
        self.wait_until = wait_until

    def observe(self) -> Observed:
        return self.deployer.observe(self.target)

    def seen(self, name: str) -> SeenRelease | None:
        return self.observe().release(name)

    def state(self, name: str) -> State | None:
        seen = self.seen(name)
        return seen.state if seen else None

    def release(self, version: Version) -> Release:
        return Release(self.target, release_name(version.identity), version)

    def launched(self, version: Version) -> Release:
        """The release, ready, without traffic."""
        release = self.release(version)
        self.deployer.launch(release)
        self.wait_until(lambda: self.state(release.name) is State.READY)
        return release

    def failed(self, version: Version) -> Release:
        """The release of a version that cannot be brought up."""
        release = self.release(version)
        self.deployer.launch(release)
        self.wait_until(lambda: self.state(release.name) is State.FAILED)
        return release

    def shift(self, weights: dict[str, int]) -> str:
        """Set the weights as seen now; the new token."""
        self.deployer.shift(self.target, weights, self.observe().token)
        return self.observe().token


class DeployerFixtures:
    """Override: `deployer`, `target`, `make_version`, `broken_version`, `mend`, `wait_until`, `example`, `traffic`."""

    @pytest.fixture
    def deployer(self) -> Deployer:
        raise NotImplementedError

    @pytest.fixture
    def target(self) -> Target:
        """A place that nothing was launched to."""
        raise NotImplementedError

    @pytest.fixture
    def make_version(self) -> MakeVersion:
        """Versions of the target's model that load there; the same number gives the same version."""
        raise NotImplementedError

    @pytest.fixture
    def broken_version(self) -> Version:
        """A version that cannot be brought up."""
        raise NotImplementedError

    @pytest.fixture
    def mend(self) -> Callable[[], object]:
        """Makes the broken version one that can."""
        raise NotImplementedError

    @pytest.fixture
    def wait_until(self) -> WaitUntil:
        """Lets time pass until the condition holds, and fails where it never does."""
        raise NotImplementedError

    @pytest.fixture
    def example(self) -> Example:
        """What every version of `make_version` can answer."""
        raise NotImplementedError

    @pytest.fixture
    def traffic(self) -> Callable[[], Any]:
        """Lets some requests come in."""
        raise NotImplementedError

    @pytest.fixture
    def bench(self, deployer: Deployer, target: Target, wait_until: WaitUntil) -> Bench:
        return Bench(deployer, target, wait_until)


class DeployerContract(DeployerFixtures):
    """What holds of every deployer."""

    def test_a_place_that_nothing_was_launched_to_is_empty_and_keeps_its_token(self, bench: Bench) -> None:
        first, second = bench.observe(), bench.observe()
        assert first.releases == ()
        assert dict(first.weights) == {}
        assert first.problem is None
        assert first.token
        assert first.token == second.token

    def test_a_launched_release_becomes_ready_without_traffic(self, bench: Bench, make_version: MakeVersion) -> None:
        version = make_version(1)
        release = bench.launched(version)
        seen = bench.seen(release.name)
        assert seen is not None
        assert (seen.version, seen.key, seen.ours) == (1, version.identity.key, True)
        assert dict(bench.observe().weights) == {}

    def test_launching_again_changes_nothing(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        token = bench.shift({release.name: 100})
        bench.deployer.launch(release)
        after = bench.observe()
        assert [(r.name, r.state) for r in after.releases] == [(release.name, State.READY)]
        assert dict(after.weights) == {release.name: 100}
        assert after.token == token

    def test_launching_while_it_starts_changes_nothing(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.release(make_version(1))
        bench.deployer.launch(release)
        bench.deployer.launch(release)
        bench.wait_until(lambda: bench.state(release.name) is State.READY)
        assert len(bench.observe().releases) == 1

    def test_the_same_name_with_another_identity_is_a_conflict(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        identity = replace(release.version.identity, created_ms=release.version.identity.created_ms + 1)
        other = replace(release, version=replace(release.version, identity=identity))
        with pytest.raises(Conflict):
            bench.deployer.launch(other)
        seen = bench.seen(release.name)
        assert seen is not None
        assert (seen.key, seen.state) == (release.version.identity.key, State.READY)

    def test_another_owner_is_told_whose_it_is_and_can_change_nothing(
        self, bench: Bench, make_version: MakeVersion
    ) -> None:
        release = bench.launched(make_version(1))
        bench.shift({release.name: 100})
        other = replace(bench.target, owner="somebody-else")
        seen = bench.deployer.observe(other)
        assert seen.problem
        self._cannot_change(bench, other, release, make_version(2), seen.token)

    def test_a_place_serves_one_model(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        bench.shift({release.name: 100})
        other = replace(bench.target, model="another.model")
        seen = bench.deployer.observe(other)
        assert seen.problem
        self._cannot_change(bench, other, release, make_version(2), seen.token)

    @staticmethod
    def _cannot_change(bench: Bench, other: Target, release: Release, version: Version, token: str) -> None:
        with pytest.raises(Refused):
            bench.deployer.launch(Release(other, release_name(version.identity), version))
        with pytest.raises(Refused):
            bench.deployer.shift(other, {}, token)
        with pytest.raises(Refused):
            bench.deployer.retire(other, release.name)
        after = bench.observe()
        assert dict(after.weights) == {release.name: 100}
        assert [r.name for r in after.releases] == [release.name]

    def test_weights_are_absolute(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        for weights in ({one.name: 100}, {one.name: 90, two.name: 10}, {two.name: 100}):
            bench.shift(weights)
            assert dict(bench.observe().weights) == weights

    def test_only_weights_above_zero_are_shown(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100, two.name: 0})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_a_target_may_be_emptied(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        bench.shift({release.name: 100})
        bench.shift({})
        assert dict(bench.observe().weights) == {}
        assert bench.state(release.name) is State.READY

    def test_every_write_of_the_weights_changes_the_token(self, bench: Bench, make_version: MakeVersion) -> None:
        release = bench.launched(make_version(1))
        tokens = [bench.observe().token, *(bench.shift({release.name: 100}) for _ in range(3)), bench.shift({})]
        assert len(set(tokens)) == len(tokens)

    def test_a_token_that_is_not_the_last_one_is_a_conflict(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        stale = bench.observe().token
        token = bench.shift({one.name: 100})
        with pytest.raises(Conflict):
            bench.deployer.shift(bench.target, {two.name: 100}, stale)
        assert dict(bench.observe().weights) == {one.name: 100}
        assert bench.observe().token == token

    @pytest.mark.parametrize("total", [99, 101, 50])
    def test_weights_that_do_not_sum_to_100_are_refused(
        self, bench: Bench, make_version: MakeVersion, total: int
    ) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        token = bench.observe().token
        with pytest.raises(Refused):
            bench.deployer.shift(bench.target, {one.name: total - 20, two.name: 20}, token)
        assert dict(bench.observe().weights) == {}
        assert bench.observe().token == token

    def test_traffic_to_a_release_that_is_not_there_is_a_conflict(
        self, bench: Bench, make_version: MakeVersion
    ) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        with pytest.raises(Conflict):
            bench.shift({one.name: 50, bench.release(make_version(2)).name: 50})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_traffic_to_a_failed_release_is_a_conflict(
        self, bench: Bench, make_version: MakeVersion, broken_version: Version
    ) -> None:
        one, broken = bench.launched(make_version(1)), bench.failed(broken_version)
        bench.shift({one.name: 100})
        with pytest.raises(Conflict):
            bench.shift({broken.name: 100})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_a_live_release_is_not_retired(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 99, two.name: 1})
        for release in (one, two):
            with pytest.raises(Conflict):
                bench.deployer.retire(bench.target, release.name)
            assert bench.state(release.name) is State.READY

    def test_an_idle_release_is_retired_and_the_others_stay(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100})
        bench.deployer.retire(bench.target, two.name)
        bench.wait_until(lambda: bench.seen(two.name) is None)
        after = bench.observe()
        assert [r.name for r in after.releases] == [one.name]
        assert dict(after.weights) == {one.name: 100}

    def test_retiring_what_is_absent_does_nothing(self, bench: Bench, make_version: MakeVersion) -> None:
        bench.deployer.retire(bench.target, "never-launched-v1-abcdef")
        one = bench.launched(make_version(1))
        bench.deployer.retire(bench.target, one.name)
        bench.deployer.retire(bench.target, one.name)
        bench.wait_until(lambda: bench.seen(one.name) is None)

    def test_a_retired_release_can_be_launched_again(self, bench: Bench, make_version: MakeVersion) -> None:
        one = bench.launched(make_version(1))
        bench.deployer.retire(bench.target, one.name)
        again = bench.launched(make_version(1))
        assert bench.state(again.name) is State.READY

    def test_a_probe_is_answered_by_the_release_that_was_asked(
        self, bench: Bench, make_version: MakeVersion, example: Example
    ) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100})
        for release, number in ((one, 1), (two, 2)):
            probe = bench.deployer.probe(release, example)
            assert (probe.ok, probe.version) == (True, number), probe

    def test_a_probe_needs_no_traffic(self, bench: Bench, make_version: MakeVersion, example: Example) -> None:
        one = bench.launched(make_version(1))
        assert bench.deployer.probe(one, example).ok
        assert dict(bench.observe().weights) == {}

    def test_probing_what_is_not_ready_is_a_conflict(
        self, bench: Bench, make_version: MakeVersion, broken_version: Version, example: Example
    ) -> None:
        bench.launched(make_version(1))
        for release in (bench.release(make_version(2)), bench.failed(broken_version)):
            with pytest.raises(Conflict):
                bench.deployer.probe(release, example)

    def test_a_release_that_cannot_come_up_says_why(self, bench: Bench, broken_version: Version) -> None:
        release = bench.failed(broken_version)
        seen = bench.seen(release.name)
        assert seen is not None
        assert seen.detail.strip()
        assert "\n" not in seen.detail
        assert seen.key == broken_version.identity.key

    def test_a_failed_release_is_started_again_by_a_launch(
        self, bench: Bench, broken_version: Version, mend: Callable[[], object]
    ) -> None:
        release = bench.failed(broken_version)
        mend()
        bench.deployer.launch(release)
        bench.wait_until(lambda: bench.state(release.name) is State.READY)

    def test_a_failed_release_can_be_retired(self, bench: Bench, broken_version: Version) -> None:
        release = bench.failed(broken_version)
        bench.deployer.retire(bench.target, release.name)
        bench.wait_until(lambda: bench.seen(release.name) is None)

    def test_a_failed_release_leaves_the_live_one_alone(
        self, bench: Bench, make_version: MakeVersion, broken_version: Version
    ) -> None:
        one = bench.launched(make_version(1))
        token = bench.shift({one.name: 100})
        bench.failed(broken_version)
        after = bench.observe()
        assert (dict(after.weights), after.token) == ({one.name: 100}, token)
        assert bench.state(one.name) is State.READY

    def test_counts_start_again_with_each_write_of_the_weights(
        self, bench: Bench, make_version: MakeVersion, traffic: Callable[[], Any]
    ) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        traffic()
        busy = bench.seen(one.name)
        assert busy is not None
        assert busy.traffic.available
        assert busy.traffic.requests > 0
        assert busy.traffic.errors == 0
        assert busy.traffic.p95_ms is not None
        bench.shift({one.name: 100})
        fresh = bench.seen(one.name)
        assert fresh is not None
        assert fresh.traffic.requests == 0

    def test_a_release_without_weight_gets_no_traffic(
        self, bench: Bench, make_version: MakeVersion, traffic: Callable[[], Any]
    ) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100})
        traffic()
        idle = bench.seen(two.name)
        assert idle is not None
        assert idle.traffic.requests == 0

    def test_check_finds_nothing_wrong_with_a_place_that_is_free_or_ours(
        self, bench: Bench, make_version: MakeVersion
    ) -> None:
        assert list(bench.deployer.check(bench.target)) == []
        bench.launched(make_version(1))
        assert list(bench.deployer.check(bench.target)) == []

    def test_check_names_a_place_that_belongs_to_somebody_else(self, bench: Bench, make_version: MakeVersion) -> None:
        bench.launched(make_version(1))
        assert list(bench.deployer.check(replace(bench.target, owner="somebody-else")))
        assert list(bench.deployer.check(replace(bench.target, model="another.model")))


class OneRelease(DeployerContract):
    """For deployers whose places serve one release: what the suite says of several at once is refused."""

    def test_weights_are_absolute(self, bench: Bench, make_version: MakeVersion) -> None:
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        for weights in ({one.name: 100}, {two.name: 100}, {one.name: 100}):
            bench.shift(weights)
            assert dict(bench.observe().weights) == weights
        with pytest.raises(Terminal, match="one release"):
            bench.shift({one.name: 90, two.name: 10})
        assert dict(bench.observe().weights) == {one.name: 100}

    def test_a_live_release_is_not_retired(self, bench: Bench, make_version: MakeVersion) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        with pytest.raises(Conflict):
            bench.deployer.retire(bench.target, one.name)
        assert dict(bench.observe().weights) == {one.name: 100}


class OneUncounted(OneRelease):
    """For those among them that tell no figures."""

    @pytest.fixture
    def traffic(self) -> Callable[[], Any]:
        return lambda: None

    def test_counts_start_again_with_each_write_of_the_weights(
        self, bench: Bench, make_version: MakeVersion, traffic: Callable[[], Any]
    ) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        seen = bench.seen(one.name)
        assert seen is not None
        assert seen.traffic == Traffic(available=False)


class MirroringContract(DeployerContract):
    """For deployers that can copy live requests to a release without traffic."""

    most = 100
    """Percent of the requests that it can copy."""
    compares = True
    """Whether it compares the answers to copies with what the clients were given."""

    @pytest.fixture
    def mirroring(self, deployer: Deployer) -> Mirroring:
        assert mirrors(deployer)
        return deployer

    @pytest.fixture
    def copies(self, bench: Bench, mirroring: Mirroring, make_version: MakeVersion) -> Mirrored:
        """v1 has the traffic, and as many of its requests as can be are copied to v2."""
        one, two = bench.launched(make_version(1)), bench.launched(make_version(2))
        bench.shift({one.name: 100})
        mirroring.mirror(bench.target, two.name, self.most, bench.observe().token)
        return self.seen(bench)

    @staticmethod
    def seen(bench: Bench) -> Mirrored:
        found = bench.observe().mirrored
        assert found is not None
        return found

    def test_nothing_is_mirrored_unasked(self, bench: Bench, make_version: MakeVersion) -> None:
        one = bench.launched(make_version(1))
        bench.shift({one.name: 100})
        assert bench.observe().mirrored is None

    def test_copies_are_answered_and_counted_and_no_client_gets_the_answers(
        self, bench: Bench, copies: Mirrored, traffic: Callable[[], Any]
    ) -> None:
        assert copies.percent == self.most
        assert dict(bench.observe().weights).keys().isdisjoint({copies.release})
        traffic()
        bench.wait_until(lambda: self.seen(bench).traffic.requests >= 10)
        found, two = self.seen(bench), bench.seen(copies.release)
        assert found.traffic.available
        assert found.traffic.errors == 0
        assert found.traffic.p95_ms is not None
        assert (found.compared, found.disagreed) == (found.traffic.requests if self.compares else 0, 0)
        assert two is not None
        assert two.traffic.requests == 0

    def test_a_mirror_is_a_write_counts_start_again_with(
        self, bench: Bench, mirroring: Mirroring, copies: Mirrored, traffic: Callable[[], Any]
    ) -> None:
        traffic()
        bench.wait_until(lambda: self.seen(bench).traffic.requests >= 10)
        before = bench.observe()
        with pytest.raises(Conflict):
            mirroring.mirror(bench.target, copies.release, 50, "not-the-token")
        mirroring.mirror(bench.target, copies.release, 30, before.token)
        after = bench.observe()
        assert (after.token != before.token, dict(after.weights)) == (True, dict(before.weights))
        assert (self.seen(bench).percent, self.seen(bench).traffic.requests) == (30, 0)
        assert sum(release.traffic.requests for release in after.releases) == 0

    def test_a_live_release_and_one_that_is_not_ready_get_no_copies(
        self, bench: Bench, mirroring: Mirroring, make_version: MakeVersion, broken_version: Version
    ) -> None:
        one, broken = bench.launched(make_version(1)), bench.failed(broken_version)
        token = bench.shift({one.name: 100})
        for name in (one.name, broken.name, bench.release(make_version(2)).name):
            with pytest.raises(Conflict):
                mirroring.mirror(bench.target, name, 20, token)
        assert (bench.observe().mirrored, bench.observe().token) == (None, token)

    def test_other_weights_and_retirement_end_a_mirror(
        self, bench: Bench, mirroring: Mirroring, make_version: MakeVersion, copies: Mirrored
    ) -> None:
        one = bench.release(make_version(1))
        bench.shift({one.name: 90, copies.release: 10})
        assert bench.observe().mirrored is None
        bench.shift({one.name: 100})
        mirroring.mirror(bench.target, copies.release, 20, bench.observe().token)
        bench.deployer.retire(bench.target, copies.release)
        assert bench.observe().mirrored is None
        assert dict(bench.observe().weights) == {one.name: 100}
