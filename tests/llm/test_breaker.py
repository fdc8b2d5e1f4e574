"""The circuit breaker: when it opens, what it lets through, how it closes."""

from __future__ import annotations

import pytest

from reconciler.llm.answer import ModelFailed
from reconciler.llm.breaker import LIMIT, LONGEST, Breakers


class Circuit:
    def __init__(self):
        self.now = 100.0
        self.breakers = Breakers(rest=10.0, clock=lambda: self.now)

    def request(self, works):
        probe = self.breakers.admit("a")
        (self.breakers.answered("a") if works else self.breakers.failed("a", probe, "the model server answered 503"))

    def fail(self, times=LIMIT):
        for _ in range(times):
            self.request(works=False)

    @property
    def shut(self):
        """Whether a request is refused without being sent; one that is let through is given up."""
        try:
            if self.breakers.admit("a"):
                self.breakers.cancelled("a")
        except ModelFailed:
            return True
        return False


@pytest.fixture
def circuit():
    return Circuit()


def test_opens_after_failures_in_a_row(circuit):
    circuit.fail(LIMIT - 1)
    assert not circuit.shut
    circuit.request(works=True)
    circuit.fail(LIMIT - 1)
    assert not circuit.shut
    circuit.fail(1)
    assert circuit.shut
    assert circuit.breakers.admit("another account") is False


def test_says_when_it_is_tried_again(circuit):
    circuit.fail()
    with pytest.raises(
        ModelFailed, match=f"{LIMIT} requests in a row failed, .* for 10 s; the last: the model server answered 503"
    ):
        circuit.request(works=True)


def test_one_probe_at_a_time_closes_it(circuit):
    circuit.fail()
    circuit.now += 10
    assert circuit.breakers.admit("a") is True
    assert circuit.shut
    circuit.breakers.answered("a")
    assert not circuit.shut


def test_a_probe_that_fails_doubles_the_rest_up_to_a_bound(circuit):
    circuit.fail()
    rest = 10.0
    while rest < 2 * LONGEST:
        circuit.now += min(rest, LONGEST) - 1
        assert circuit.shut
        circuit.now += 1
        circuit.fail(1)
        rest *= 2
    circuit.now += LONGEST
    assert not circuit.shut


def test_a_probe_that_was_given_up_lets_the_next_one_through(circuit):
    circuit.fail()
    circuit.now += 10
    assert circuit.breakers.admit("a") is True
    circuit.breakers.cancelled("a")
    assert circuit.breakers.admit("a") is True
    circuit.breakers.cancelled("nobody")


def test_requests_that_were_under_way_do_not_end_a_probe(circuit):
    circuit.fail()
    circuit.now += 10
    assert circuit.breakers.admit("a") is True
    circuit.breakers.failed("a", False, "late")
    assert circuit.shut


def test_accounts_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr("reconciler.llm.breaker._KEPT", 3)
    breakers = Breakers()
    for n in range(5):
        breakers.failed(n, False, "no")
    assert len(breakers._ill) == 3
