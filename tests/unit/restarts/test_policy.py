"""What the labels of a container ask for."""

from __future__ import annotations

import pytest

from pycontainerd.errors import InvalidArgument
from pycontainerd.restarts.policy import COUNT, EXPLICITLY_STOPPED, POLICY, Policy, next_count, wants_start


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", Policy("always")),
        ("always", Policy("always")),
        ("no", Policy("no")),
        ("unless-stopped", Policy("unless-stopped")),
        ("on-failure", Policy("on-failure", 0)),
        ("on-failure:3", Policy("on-failure", 3)),
        ("on-failure:3:4", Policy("on-failure", 3)),
    ],
)
def test_a_policy_is_read(text: str, policy: Policy) -> None:
    assert Policy.parse(text) == policy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sometimes", 'restart policy "sometimes" not supported'),
        ("always:3", 'restart policy "always" not supported max retry count'),
        (":3", 'restart policy "" not supported max retry count'),
        ("on-failure:x", "invalid max retry count: x"),
        ("on-failure:", "invalid max retry count: "),
        ("on-failure:٣", "invalid max retry count: ٣"),
    ],
)
def test_what_is_no_policy_is_refused_in_the_words_of_the_original(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        Policy.parse(text)
    assert error.value.message == why


@pytest.mark.parametrize(
    ("labels", "status", "wanted"),
    [
        ({}, 0, True),
        ({POLICY: "no"}, 1, False),
        ({POLICY: "on-failure"}, 0, False),
        ({POLICY: "on-failure"}, 1, True),
        ({POLICY: "on-failure:2", COUNT: "1"}, 1, True),
        ({POLICY: "on-failure:2", COUNT: "2"}, 1, False),
        ({POLICY: "on-failure", COUNT: "99"}, 1, True),
        ({POLICY: "unless-stopped"}, 0, True),
        ({POLICY: "unless-stopped", EXPLICITLY_STOPPED: "false"}, 0, True),
        ({POLICY: "unless-stopped", EXPLICITLY_STOPPED: "true"}, 0, False),
        ({POLICY: "unless-stopped", EXPLICITLY_STOPPED: "yes"}, 0, True),
        ({POLICY: "always", EXPLICITLY_STOPPED: "true"}, 0, True),
    ],
)
def test_a_policy_says_whether_a_task_is_started_anew(labels: dict[str, str], status: int, wanted: bool) -> None:
    assert wants_start(labels, status) is wanted


def test_a_count_that_is_none_is_refused_where_it_decides_and_begun_anew_where_not() -> None:
    with pytest.raises(InvalidArgument):
        wants_start({POLICY: "on-failure:2", COUNT: "x"}, 1)
    assert [next_count({COUNT: text}) for text in ("", "x", "4")] == [1, 1, 5]
