"""Adopting: a live object without a mark becomes one's own where somebody says so, by its id."""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.model import Gates, Mark, Object, Ref
from reconciler.plan.diff import diff
from reconciler.plan.gate import gate
from reconciler.plan.order import order
from reconciler.plan.render import document, text
from tests.plan.fleet import BEHAVIOUR, SPECS, bistro, bot, declared, desired, foreign, keyword, main, running
from tests.plan.fleet import with_objects as plus
from tests.plan.target import Model, walk

LIVE = running(bistro(), main())


def adopts(one: Object, id: str) -> Object:
    return msgspec.structs.replace(one, adopts=id)


def plan(*wanted: Object, live: Any, **more: Any) -> Any:
    return diff(desired(bistro(), main(), *wanted), live, target="local", **more)


def test_adopting_puts_a_mark_on_and_nothing_else() -> None:
    start = keyword("start")
    found = plan(adopts(bot("x", **start), "id-by hand"), live=plus(LIVE, foreign("Bot", "by hand", **start)))
    (change,) = found.changes
    assert (change.adopted, change.fields, change.origin, found.faults, found.foreign) == (True, (), "pending", (), ())
    (step,) = order(found)
    assert (step.action, step.id, step.values, str(step.mark)) == ("update", "id-by hand", {}, "[gitops x@3f2a91c4]")
    assert text(found).splitlines()[0] == "~ Bot bistro/x (adopted)"
    assert document(found)["changes"][0]["adopted"] is True
    gate(found, (), Gates())


def test_a_fleet_of_any_size_is_adopted_at_once_and_also_where_drift_is_left() -> None:
    bots = [foreign("Bot", f"b{n}") for n in range(40)]
    found = plan(*(adopts(bot(f"x{n}"), one.id) for n, one in enumerate(bots)), live=plus(LIVE, *bots), self_heal=False)
    assert len(order(found)) == 40
    gate(found, (), Gates())


def test_what_differs_besides_is_pending() -> None:
    found = plan(adopts(bot("x", expire=5), "id-b"), live=plus(LIVE, foreign("Bot", "b")))
    assert [(one.field, one.origin) for one in found.changes[0].fields] == [("expire", "pending")]


def test_references_to_what_is_adopted_are_no_difference() -> None:
    account, fallback = foreign("Credentials", "creds_123"), foreign("Bot", "b", credentials="creds_123 (not managed)")
    settings = foreign("Settings", "s", credentials="creds_123 (not managed)", fallbackBot="id-b (not managed)")
    found = plan(
        adopts(declared("Credentials", "creds-123"), account.id),
        declared("Settings", "default", credentials="creds-123", fallbackBot="any"),
        adopts(bot("any", credentials="creds-123"), fallback.id),
        live=plus(LIVE, account, fallback, settings),
    )
    assert [(str(one.ref), one.fields) for one in found.changes] == [
        ("Credentials bistro/creds-123", ()),
        ("Bot bistro/any", ()),
    ]
    assert found.ids[Ref("Credentials", "bistro", "creds-123")] == account.id


def test_an_object_with_its_mark_is_itself_whatever_adopts_says() -> None:
    mine = adopts(bot("x"), "id-other")
    found = plan(mine, live=plus(running(bistro(), main(), bot("x")), foreign("Bot", "other")))
    assert (found.changes, len(found.foreign)) == ((), 1)


def test_what_is_not_there_is_made() -> None:
    assert [one.action for one in plan(adopts(bot("x"), "id-gone"), live=LIVE).changes] == ["create"]


def test_an_object_of_another_kind_or_instance_is_not_taken() -> None:
    clinic = declared("Instance", "clinic", "clinic", instanceName="Clinic")
    live = plus(LIVE, *running(clinic).objects, foreign("Bot", "b", instance="Clinic"), foreign("Assistant", "a"))
    found = plan(clinic, adopts(bot("x"), "id-b"), adopts(bot("y"), "id-a"), live=live)
    assert {(one.action, one.ref.name) for one in found.changes} == {("create", "x"), ("create", "y")}


def test_what_another_repository_owns_is_refused() -> None:
    found = plan(adopts(bot("x"), "id-b"), live=plus(LIVE, foreign("Bot", "b", Mark("acme", "b", "0" * 8))))
    assert "adopts 'b' (id id-b), which carries the mark [gitops acme:b@00000000]" in found.faults[0].reason


def test_renamed_after_it_was_adopted_it_is_kept() -> None:
    live = running(bistro(), main(), bot("old"))
    found = plan(adopts(bot("new"), "id-Bot-old"), live=live)
    assert [(one.action, one.renamed_from) for one in found.changes] == [("update", "old")]
    both = plan(bot("old"), adopts(bot("new"), "id-Bot-old"), live=live)
    assert [(one.action, one.ref.name) for one in both.changes] == [("create", "new")]


def test_a_lost_mark_is_put_back_where_that_is_allowed() -> None:
    start = keyword("start")
    stranger = foreign("Bot", "by hand", expire=7, **start)
    live = plus(LIVE, stranger)
    assert plan(bot("x", **start), live=live, allow={"adopt:id-another"}).faults
    found = plan(bot("x", **start), live=live, allow={f"adopt:{stranger.id}"})
    assert found.faults == ()
    (change,) = found.changes
    assert (change.adopted, change.live.id, change.origin) == (True, stranger.id, "unknown")


def test_a_copy_beside_the_object_itself_is_named_as_one() -> None:
    live = plus(running(bistro(), main(), bot("x")), foreign("Bot", "twin", **keyword("start")))
    found = plan(bot("x", **keyword("start")), live=live, allow={"adopt:id-twin"})
    assert "x is there with its mark, so this is another one" in found.faults[0].remedy


def test_a_trigger_of_another_repository_is_no_lost_mark() -> None:
    live = plus(LIVE, foreign("Bot", "theirs", Mark("acme", "t", "0" * 8), **keyword("start")))
    found = plan(bot("x", **keyword("start")), live=live, allow={"adopt:id-theirs"})
    assert "which carries the mark [gitops acme:t@00000000], has the trigger of Bot bistro/x" in found.faults[0].reason
    assert "adopt" not in found.faults[0].remedy


def test_on_a_target_adopting_converges() -> None:
    model = Model()
    made = diff(desired(bistro(), main()), model.live(), target="t")
    walk(model, order(made), made.ids)
    account = model.add("Credentials", "Bistro_01", SPECS["Credentials"], None, "creds_123")
    row = {**SPECS["Bot"], **dict.fromkeys(BEHAVIOUR), "credentials": account}
    id = model.add("Bot", "Bistro_01", row, None)
    wanted = desired(
        bistro(),
        main(),
        adopts(declared("Credentials", "creds-123"), account),
        adopts(bot("x", credentials="creds-123"), id),
    )
    found = diff(wanted, model.live(), target="t")
    assert [change.fields for change in found.changes] == [(), ()]
    assert walk(model, order(found), found.ids) == {}
    assert diff(wanted, model.live(), target="t").changes == ()
