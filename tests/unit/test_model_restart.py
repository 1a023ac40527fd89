"""model/options/restart.py: docker's policies, and how long a container waits between two runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import restart

POLICIES = ("no", "on-failure", "on-failure:3", "always", "unless-stopped")
codes = st.integers(0, 255)
counts = st.integers(0, 10**9)
uptimes = st.integers(-(10**9), 10**12)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "policy"),
        [
            *((policy, policy) for policy in POLICIES),
            ("", "no"),
            ("on-failure:0", "on-failure"),
            ("on-failure:007", "on-failure:7"),
        ],
    )
    def test_policies(self, text, policy):
        assert restart.parse(text) == policy
        assert restart.parse(policy) == policy

    @pytest.mark.parametrize("text", ["maybe", "Always", "always:3", "no:0", "unless-stopped:", " no"])
    def test_what_is_none(self, text):
        with pytest.raises(InvalidArgument, match="policy") as caught:
            restart.parse(text)
        assert caught.value.hint

    @pytest.mark.parametrize("most", ["", "x", "-1", "1.5", "1:2", "1000000001"])
    def test_what_is_no_number(self, most):
        with pytest.raises(InvalidArgument, match="number of restarts"):
            restart.parse(f"on-failure:{most}")

    @given(st.text())
    def test_anything_else_is_refused(self, text):
        try:
            policy = restart.parse(text)
        except InvalidArgument:
            return
        assert restart.parse(policy) == policy

    @pytest.mark.parametrize(("policy", "parts"), [("always", ("always", 0)), ("on-failure:3", ("on-failure", 3))])
    def test_split(self, policy, parts):
        assert restart.split(policy) == parts


def lives_again(policy, code=1, count=0, ended_by=""):
    return restart.restart_delay(policy, ended_by, code, count, 0, 0) > 0


class TestWhether:
    @pytest.mark.parametrize(
        ("policy", "after_success", "after_failure"),
        [
            ("no", False, False),
            ("on-failure", False, True),
            ("on-failure:3", False, True),
            ("always", True, True),
            ("unless-stopped", True, True),
        ],
    )
    def test_by_the_exit_code(self, policy, after_success, after_failure):
        assert (lives_again(policy, 0), lives_again(policy, 1)) == (after_success, after_failure)

    @pytest.mark.parametrize(("count", "again"), [(0, True), (2, True), (3, False), (4, False)])
    def test_as_often_as_the_policy_says(self, count, again):
        assert lives_again("on-failure:3", count=count) == again
        assert lives_again("on-failure", count=count)

    @given(st.sampled_from(POLICIES), st.sampled_from([restart.BY_HAND, restart.BY_SHUTDOWN]), codes, counts)
    def test_never_if_it_was_told_to_end(self, policy, ended_by, code, count):
        assert not lives_again(policy, code, count, ended_by)

    @pytest.mark.parametrize(
        ("policy", "by_itself", "by_hand", "by_shutdown"),
        [
            ("no", False, False, False),
            ("on-failure:3", False, False, False),
            ("always", True, True, True),
            ("unless-stopped", True, False, True),
        ],
    )
    def test_at_boot(self, policy, by_itself, by_hand, by_shutdown):
        reasons = ("", restart.BY_HAND, restart.BY_SHUTDOWN)
        assert [restart.returns_at_boot(policy, why) for why in reasons] == [by_itself, by_hand, by_shutdown]


class TestHowLong:
    def test_it_doubles_up_to_a_minute(self):
        delays = [0]
        for _ in range(12):
            delays.append(restart.restart_delay("always", "", 0, 0, delays[-1], 9_999))
        assert delays[1:] == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]

    def test_ten_seconds_of_uptime_reset_the_delay(self):
        assert restart.restart_delay("always", "", 0, 0, 60_000, 10_000) == 100

    @given(st.integers(0, 60_000), uptimes)
    def test_it_is_never_nothing_and_never_more_than_a_minute(self, previous_delay, uptime):
        """A clock that was set back is no reason for a busy loop."""
        assert 0 < restart.restart_delay("always", "", 0, 0, previous_delay, uptime) <= 60_000
