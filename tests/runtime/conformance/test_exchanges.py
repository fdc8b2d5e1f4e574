"""The recorded exchanges, played against the real runtime: the same answers but for what `differences.py` lists."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.recorded import Exchange, recorded
from tests.runtime.conformance.differences import BODIES, CASES, KEYED, STATUSES
from tests.runtime.conformance.replay import Outcome, Replay, openai, runtime

EXCHANGES = recorded()
EXPECTED = {n: (status, why) for why, cases in STATUSES.items() for n, status in cases.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Outcome]]:
    """All exchanges, played once, in order, against a runtime of their own."""
    folder = tmp_path_factory.mktemp("conformance")
    with (
        openai() as models,
        runtime(folder, models) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield Replay(client).run()


def found(outcome: Outcome) -> set[str]:
    """The differences of the body, as the table writes them."""
    return {f"{one.field} {one.kind}" for one in outcome.differences}


def rules(exchange: Exchange) -> list[frozenset[str]]:
    return [fields for _, calls, fields in BODIES if exchange.call in calls]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=[f"{one.n} {one.group}: {one.case}" for one in EXCHANGES])
def test_the_same_answer(outcomes: dict[int, Outcome], exchange: Exchange) -> None:
    outcome = outcomes[exchange.n]
    status, why = EXPECTED.get(exchange.n, (exchange.status, "as recorded"))
    assert outcome.status == status, (why, outcome.body)
    if exchange.n in EXPECTED:
        assert status != exchange.status, "an entry of the table that does not differ any more"
    if status >= 400:
        assert outcome.body.keys() == {"status", "error", "response"}
        assert outcome.body["status"] == status
        messages = outcome.body["response"]["message"]
        assert messages
        assert all(isinstance(message, str) for message in messages)
    if outcome.later is not None:
        assert outcome.later == KEYED.get(exchange.n, (exchange.status, ""))[0]
    of_case = CASES.get(exchange.n, ("", frozenset()))[1]
    differences = found(outcome)
    assert differences - of_case.union(*rules(exchange)) == set()
    assert of_case <= differences, "an entry of the table that does not differ any more"


def test_every_line_of_the_table_is_needed(outcomes: dict[int, Outcome]) -> None:
    numbers = {one.n: one for one in EXCHANGES}
    assert {*EXPECTED, *CASES, *KEYED} <= numbers.keys()
    assert len(EXPECTED) == sum(map(len, STATUSES.values())), "an exchange is listed twice"
    assert all(outcomes[n].later == status != numbers[n].status for n, (status, _) in KEYED.items())
    for why, calls, fields in BODIES:
        seen = set().union(*(found(outcomes[one.n]) for one in EXCHANGES if one.call in calls))
        assert fields <= seen, why


def test_errors_name_the_same_fields(outcomes: dict[int, Outcome]) -> None:
    """Where both refuse a body for its fields, the same fields are named."""
    compared = 0
    for exchange in EXCHANGES:
        if exchange.status != 400 or outcomes[exchange.n].status != 400:
            continue
        theirs = exchange.response["response"]["message"]
        for message in theirs[0] if isinstance(theirs[0], list) else []:
            field = message.split('"')[1] if '"' in message else message.split(" ")[0]
            ours = outcomes[exchange.n].body["response"]["message"]
            assert any(field in one or "body is not of type object" in one for one in ours), (
                exchange.case,
                field,
                ours,
            )
            compared += 1
    assert compared > 50
