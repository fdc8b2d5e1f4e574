from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import DEMO, Change, Live, LiveObject, Mark, Object, Plan, Ref, Secret
from reconciler.plan.diff import SENSITIVE, Before, diff, questions
from reconciler.plan.own import undeclared_marks
from tests.plan.fleet import bistro, bot, declared, desired, foreign, keyword, main, running, with_objects


def plan(wanted: tuple[Object, ...], live: Live, applied: tuple[Object, ...] = (), **options: Any) -> Plan:
    before = Before(objects={one.ref: one for one in applied}, instances=options.pop("former", {}))
    return diff(desired(*wanted, source=options.pop("source", "")), live, before, target="local", **options)


def shown(found: Plan) -> list[str]:
    return [
        f"{change.action} {change.ref}: "
        + ", ".join(f"{f.field} {f.before!r}->{f.after!r} {f.origin}" for f in change.fields)
        for change in found.changes
    ]


BASE = (bistro(), main())


def test_what_is_live_as_declared_makes_no_change() -> None:
    fleet = (*BASE, declared("Settings", "default", credentials="main"), declared("Assistant", "a"), bot("x"))
    assert plan(fleet, running(*fleet)).changes == ()


def test_everything_is_created_on_an_empty_target() -> None:
    found = plan((*BASE, bot("x")), Live(objects=(), version="0"))
    assert shown(found) == ["create Instance bistro: ", "create Credentials bistro/main: ", "create Bot bistro/x: "]
    assert found.ids == {}


@pytest.mark.parametrize(
    ("was", "now", "wanted", "origin"),
    [
        (1, 1, 2, "pending"),
        (1, 2, 1, "drift"),
        (1, 3, 2, "conflict"),
    ],
)
def test_each_changed_field_says_who_moved_it(was: int, now: int, wanted: int, origin: str) -> None:
    found = plan(
        (*BASE, bot("x", expire=wanted)), running(*BASE, bot("x", expire=now)), applied=(bot("x", expire=was),)
    )
    assert shown(found) == [f"update Bot bistro/x: expire {now}->{wanted} {origin}"]
    assert found.changes[0].origin == origin


def test_without_the_marked_commit_the_origin_is_unknown_and_said_to_be() -> None:
    found = plan((*BASE, bot("x", expire=2), bot("y", expire=2)), running(*BASE, bot("x"), bot("y")))
    assert found.changes[0].origin == "unknown"
    assert "origin of 2 changes is unknown" in found.notes[0]
    assert "aaaaaaaa" in found.notes[0]
    one = plan((*BASE, bot("x", expire=2)), running(*BASE, bot("x")))
    assert "how it was declared" in one.notes[0]


def test_settings_whose_instance_has_no_marks_have_an_unknown_origin_without_a_commit() -> None:
    wanted = (bistro(), declared("Settings", "default", expire=5))
    found = plan(wanted, running(bistro(), declared("Settings", "default")))
    assert found.changes[0].origin == "unknown"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("field", "wanted", "live"),
    [
        ("description", "Hello ", "Hello"),
        ("description", "", None),
        ("ignoreJids", (), None),
        ("ignoreJids", ("a",), ["a"]),
        ("systemMessages", [], None),
        ("temperature", 1, 1.0),
    ],
)
def test_what_is_the_same_in_another_form_is_no_difference(field: str, wanted: object, live: object) -> None:
    assert plan((*BASE, bot("x", **{field: wanted})), running(*BASE, bot("x", **{field: live}))).changes == ()


def test_objects_without_a_mark_or_with_another_sources_are_foreign() -> None:
    live = with_objects(
        running(*BASE),
        foreign("Bot", "by hand"),
        foreign("Bot", "other", Mark("other", "x", "0" * 8)),
    )
    found = plan(BASE, live)
    assert found.changes == ()
    assert [one.label for one in found.foreign] == ["by hand", "other"]


def test_with_a_source_name_only_its_marks_are_ones_own() -> None:
    live = with_objects(
        running(bistro(), main(), source="acme"),
        foreign("Bot", "theirs", Mark("", "x", "0" * 8)),
        foreign("Bot", "ours", Mark("acme", "y", "0" * 8)),
    )
    found = plan(BASE, live, source="acme")
    assert shown(found) == ["delete Bot bistro/y: "]
    assert [one.label for one in found.foreign] == ["theirs"]


def test_an_instance_that_was_never_declared_is_only_counted() -> None:
    other = running(declared("Instance", "stranger", "stranger", instanceName="Other"), commit="0" * 40)
    found = plan(BASE, with_objects(running(*BASE), *other.objects, foreign("Bot", "b", instance="Other")))
    assert (found.strangers, found.foreign, found.changes) == (1, (), ())


def test_an_instance_no_longer_declared_is_ones_own_if_a_mark_says_so() -> None:
    gone = (bistro(), main(), bot("x"))
    clinic = declared("Instance", "clinic", "clinic", instanceName="Clinic_01")
    live = with_objects(
        running(*gone),
        *running(clinic).objects,
        foreign("Bot", "y", Mark("", "y", "bbbbbbbb"), "Clinic_01"),
    )
    wanted = (bistro(), main(), bot("x"))
    assert undeclared_marks(desired(*wanted), live) == {"Clinic_01": ("bbbbbbbb",)}
    assert plan(wanted, live).changes == ()
    found = plan(wanted, live, former={"Clinic_01": "clinic"})
    assert shown(found) == ["delete Bot clinic/y: "]
    assert any("Instance clinic (Clinic_01) is no longer declared" in note for note in found.notes)
    allowed = plan(wanted, live, former={"Clinic_01": "clinic"}, allow={"delete-instance:Clinic_01"})
    assert shown(allowed) == ["delete Bot clinic/y: ", "delete Instance clinic: "]
    assert not any("no longer declared" in note for note in allowed.notes)


def test_settings_no_longer_declared_are_left_with_a_note() -> None:
    found = plan(BASE, running(*BASE, declared("Settings", "default")))
    assert found.changes == ()
    assert found.notes == ("Settings of Bistro_01 are not declared: they are left as they are",)


def test_a_renamed_bot_keeps_its_live_one() -> None:
    found = plan((*BASE, bot("new", formerly="old")), running(*BASE, bot("old")), applied=(bot("new"),))
    assert shown(found) == ["update Bot bistro/new: name 'old'->'new' pending"]
    assert found.changes[0].renamed_from == "old"


def test_a_former_name_that_is_declared_again_is_no_rename() -> None:
    found = plan((*BASE, bot("new", formerly="old"), bot("old")), running(*BASE, bot("old")))
    assert shown(found) == ["create Bot bistro/new: "]


def test_two_bots_with_one_former_name_get_it_once() -> None:
    found = plan((*BASE, bot("a", formerly="old"), bot("b", formerly="old")), running(*BASE, bot("old")))
    assert [change.action for change in found.changes] == ["update", "create"]


def test_renamed_credentials_do_not_change_their_bots() -> None:
    wanted = (
        bistro(),
        declared("Credentials", "fresh", formerly="main"),
        declared("Settings", "default", credentials="fresh"),
        bot("x", credentials="fresh"),
    )
    live = running(*BASE, declared("Settings", "default", credentials="main"), bot("x"))
    assert shown(plan(wanted, live)) == ["update Credentials bistro/fresh: name 'main'->'fresh' pending"]


def test_two_objects_of_one_mark_are_named_and_refused() -> None:
    live = with_objects(running(*BASE, bot("x")), foreign("Bot", "copy", Mark("", "x", "0" * 8)))
    found = plan((*BASE, bot("x")), live)
    assert "id-Bot-x" in found.faults[0].reason
    assert "id-copy" in found.faults[0].reason


def test_the_copy_of_a_bot_that_is_deleted_is_refused_too() -> None:
    live = with_objects(running(*BASE, bot("x")), foreign("Bot", "copy", Mark("", "x", "0" * 8)))
    assert len(plan(BASE, live).faults) == 1


@pytest.mark.parametrize(
    ("wanted", "stranger", "lost"),
    [
        (bot("x", **keyword("Start")), foreign("Bot", "x", **keyword("start")), True),
        (bot("x", **keyword("start")), foreign("Bot", "x", **keyword("other")), False),
        (bot("x", **keyword("start")), foreign("Bot", "x", enabled=False, **keyword("start")), False),
        (bot("x", enabled=False, **keyword("start")), foreign("Bot", "x", **keyword("start")), False),
        (bot("x"), foreign("Bot", "x"), False),
        (declared("Credentials", "second"), foreign("Credentials", "second"), True),
        (declared("Assistant", "c", assistantId="a1"), foreign("Assistant", "any", assistantId="a1"), True),
        (declared("Assistant", "c", assistantId="a1"), foreign("Assistant", "any", assistantId="a2"), False),
    ],
)
def test_a_foreign_object_in_the_place_of_a_declared_one_has_lost_its_mark(
    wanted: Object, stranger: LiveObject, lost: bool
) -> None:
    found = plan((*BASE, wanted), with_objects(running(*BASE), stranger))
    assert bool(found.faults) is lost
    if lost:
        assert found.faults[0].reason.startswith("mark lost: ")
        assert f"apply --allow adopt:{stranger.id}" in found.faults[0].remedy


def test_a_foreign_twin_of_a_bot_that_is_live_already_is_left_alone() -> None:
    mine = bot("x", **keyword("start"))
    assert plan((*BASE, mine), with_objects(running(*BASE, mine), foreign("Bot", "t", **keyword("start")))).faults == ()


def test_nothing_declared_is_refused_while_something_is_owned() -> None:
    live = running(*BASE, bot("x"))
    former = {"Bistro_01": "bistro"}
    assert "nothing is declared" in plan((), live, former=former).faults[0].reason
    assert plan((), live, former=former, allow={"empty"}).faults == ()
    assert plan((), Live(objects=(), version="")).faults == ()


def test_a_conversation_is_nothing_to_apply() -> None:
    talk = Object(ref=Ref("Conversation", "bistro", "t"), spec={"turns": []}, at=bistro().at)
    assert plan((*BASE, talk), running(*BASE)).changes == ()


def test_without_prune_deletes_are_shown_and_held() -> None:
    found = plan(BASE, running(*BASE, bot("x")), applied=(bot("x"),), prune=False)
    assert [(change.action, change.held) for change in found.changes] == [("delete", "pruning is off")]
    assert found.notes == ("1 change shown but not applied: pruning is off",)


def test_without_self_healing_only_what_is_all_drift_is_held() -> None:
    wanted = (*BASE, bot("x", expire=1), bot("y", expire=1, maxTokens=5))
    live = running(*BASE, bot("x", expire=2), bot("y", expire=2))
    applied = (bot("x", expire=1), bot("y", expire=1))
    found = plan(wanted, live, applied=applied, self_heal=False)
    assert [change.held for change in found.changes] == ["self-healing is off", ""]
    assert [change.held for change in plan(wanted, live, applied=applied).changes] == ["", ""]


def test_a_delete_knows_what_was_protected_and_says_when_it_cannot() -> None:
    old = bot("x", protect=True, labels={"team": "a"})
    found = plan(BASE, running(*BASE, bot("x")), applied=(old,))
    assert (found.changes[0].protected, dict(found.changes[0].labels)) == (True, {"team": "a"})
    assert found.notes == ()
    blind = plan(BASE, running(*BASE, bot("x")))
    assert blind.changes[0].protected is False
    assert "whether 1 object to be deleted was protected is unknown" in blind.notes[0]


def only(found: Plan) -> Change:
    (change,) = found.changes
    return change


def test_a_key_that_is_not_known_here_never_differs() -> None:
    assert plan((bistro(), main(apiKey={"env": "A"})), running(*BASE)).changes == ()


def test_a_key_differs_by_its_fingerprint_and_is_never_shown() -> None:
    assert plan(BASE, running(*BASE)).changes == ()
    change = only(plan((bistro(), main(apiKey=Secret("sk-another-key"))), running(*BASE)))
    assert [(f.field, f.before, f.after, f.origin) for f in change.fields] == [
        ("apiKey", SENSITIVE, SENSITIVE, "pending")
    ]
    broken = running(bistro(), main(apiKey=None))
    assert only(plan(BASE, broken)).fields[0].field == "apiKey"


def test_the_address_is_not_compared_while_it_may_be_replaced() -> None:
    wanted = main(apiKey={"env": "A"}, baseUrl="https://a.example", whenMissing=DEMO)
    assert plan((bistro(), wanted), running(bistro(), main(baseUrl=DEMO))).changes == ()
    plainly = main(apiKey={"env": "A"}, baseUrl="https://a.example")
    assert only(plan((bistro(), plainly), running(*BASE))).fields[0].field == "baseUrl"


def test_an_address_replaced_by_the_demo_is_pending_not_drift() -> None:
    applied = main(apiKey={"env": "A"}, whenMissing=DEMO)
    change = only(plan((bistro(), main(baseUrl=DEMO)), running(*BASE), applied=(applied,)))
    assert [(f.field, f.origin) for f in change.fields] == [("baseUrl", "pending")]


def test_inherited_fields_are_named() -> None:
    wanted = bot("x", expire=2, maxTokens=3, inherited=("expire", "keepOpen"))
    assert only(plan((*BASE, wanted), running(*BASE, bot("x")))).inherited == ("expire",)


def test_questions_are_asked_only_for_what_differs() -> None:
    wanted = desired(
        *BASE, declared("Settings", "default", expire=9), bot("same"), bot("new", formerly="old"), bot("fresh")
    )
    live = running(*BASE, declared("Settings", "default"), bot("same"), bot("old"), bot("gone"))
    asked = {str(q.ref): (q.was, q.commits) for q in questions(wanted, live, {})}
    assert asked == {
        "Settings bistro/default": ("default", ("aaaaaaaa",)),
        "Bot bistro/new": ("old", ("aaaaaaaa",)),
        "Bot bistro/gone": ("gone", ("aaaaaaaa",)),
    }
    unmarked = desired(bistro(retention=5))
    assert questions(unmarked, running(bistro()), {}) == ()


def test_bots_of_an_instance_that_has_no_document_use_its_name() -> None:
    found = plan((bot("x"),), Live(objects=(), version=""))
    assert found.changes[0].instance_name == "bistro"


def test_credentials_that_something_left_alone_uses_stay() -> None:
    live = with_objects(
        running(bistro(), main(), declared("Credentials", "b"), declared("Settings", "default", credentials="main")),
        foreign("Bot", "theirs", credentials="b"),
    )
    found = plan((bistro(),), live)
    assert [change.held for change in found.changes] == [
        "Bot 'theirs', which is foreign, still uses it",
        "the Settings of Bistro_01, which are not declared, still use it",
    ]


def test_a_rename_of_which_a_part_never_came_is_noted() -> None:
    wanted = (*BASE, bot("c", formerly="b"))
    (note, *_) = plan(wanted, running(*BASE, bot("a"))).notes
    assert note == (
        "Bot bistro/c was b, which is not there, so it is made anew; if it is what would be deleted (a), "
        "name that in its `formerly`"
    )
    assert plan(wanted, running(*BASE)).notes == ()
    assert plan(wanted, running(*BASE, bot("b"))).notes == ()
