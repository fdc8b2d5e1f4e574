"""Whose objects are taken over, and how names come about."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.desired.durations import convert, shown
from reconciler.desired.naming import name_of, variable_of
from reconciler.desired.take import Taken, take
from reconciler.desired.taking import Into
from reconciler.errors import Misuse
from reconciler.model import Desired, Live, Mark, Object
from tests.plan.fleet import bistro, bot, declared, desired, foreign, keyword, main, running, with_objects

INTO = Into(folder="bots", taken=(), variables={})
LIVE = running(bistro(), main())
STRANGER = running(declared("Instance", "stranger", "stranger", instanceName="Stranger"))


def taken(wanted: Desired, live: Live, **more: Any) -> Taken:
    return take(wanted, live, INTO, **more)


def refs(found: Taken) -> list[str]:
    return [str(one.ref) for one in found.objects]


def test_in_a_declared_instance_only_what_has_no_mark_is_taken() -> None:
    live = with_objects(
        LIVE,
        foreign("Bot", "mine-by-hand"),
        foreign("Bot", "theirs", Mark("acme", "x", "0" * 8)),
        foreign("Bot", "orphan", Mark("", "mine-by-hand", "0" * 8)),
        foreign("Assistant", "concierge"),
    )
    found = taken(desired(bistro(), main()), live)
    # The name of a mark that is still there is not given again: it would take that object's place.
    assert refs(found) == ["Assistant bistro/concierge", "Bot bistro/mine-by-hand-2"]
    assert found.left == ()


def test_what_is_being_adopted_already_is_not_taken_twice() -> None:
    import msgspec

    mine: Object = msgspec.structs.replace(bot("x"), adopts="id-by hand")
    assert taken(desired(bistro(), main(), mine), with_objects(LIVE, foreign("Bot", "by hand"))).files == {}


def test_a_whole_instance_of_nobody_is_taken_with_all_that_is_in_it() -> None:
    live = with_objects(
        STRANGER, foreign("Credentials", "acc", instance="Stranger", apiKey="salt$1"),
        foreign("Settings", "s", instance="Stranger", fallbackBot="id-b (not managed)", credentials=None),
        foreign("Bot", "b", instance="Stranger", credentials="acc (not managed)"),
    )  # fmt: skip
    found = taken(desired(), live)
    assert refs(found) == [
        "Instance stranger",
        "Credentials stranger/acc",
        "Bot stranger/b",
        "Settings stranger/default",
    ]
    assert found.files["bots/stranger/settings.yaml"].endswith("spec:\n  fallbackBot: b\n")


def test_an_instance_that_cannot_be_declared_is_left_with_all_that_is_in_it() -> None:
    live = with_objects(
        running(declared("Instance", "shop", "shop", instanceName="My Shop/2")),
        foreign("Credentials", "acc", instance="My Shop/2", apiKey="salt$1"),
        foreign("Bot", "b", instance="My Shop/2", credentials="acc (not managed)"),
        *STRANGER.objects,
    )
    found = taken(desired(), live)
    assert refs(found) == ["Instance stranger"]
    assert {one.label: one.reason.partition(":")[0] for one in found.left} == {
        "shop": "it cannot be said in YAML", "acc": "its instance is left out", "b": "its instance is left out",
    }  # fmt: skip


def test_where_nothing_is_there_is_nothing_to_take() -> None:
    nothing = Live(objects=(), version="")
    assert taken(desired(), nothing).files == {}
    with pytest.raises(Misuse, match="there is no instance 'bistro' on the target"):
        taken(desired(), nothing, instance="bistro")


@pytest.mark.parametrize("source", ["", "acme"])
def test_an_instance_with_marks_of_this_name_is_somebody_elses_and_never_taken(source: str) -> None:
    live = with_objects(STRANGER, foreign("Bot", "b", Mark(source, "x", "0" * 8), instance="Stranger"))
    wanted = desired(bistro(), main(), source=source)
    found = taken(wanted, with_objects(live, *LIVE.objects[:1]))
    assert found.files == {}
    assert "a `source.name` of its own" in found.left[0].reason
    with pytest.raises(Misuse, match=r"source\.name"):
        taken(wanted, live, instance="Stranger")


def test_an_instance_of_another_repository_is_shared_only_where_it_is_named() -> None:
    live = with_objects(
        STRANGER,
        *running(declared("Settings", "default", "stranger")).objects,
        foreign("Bot", "theirs", Mark("acme", "x", "0" * 8), instance="Stranger"),
        foreign("Credentials", "acc", instance="Stranger"),
    )
    live = Live(
        objects=tuple(
            o if o.kind != "Settings" else foreign("Settings", "s", instance="Stranger") for o in live.objects
        ),
        version="",
    )
    assert "[gitops acme:…]" in taken(desired(), live).left[0].reason
    found = taken(desired(), live, instance="Stranger")
    assert refs(found) == ["Instance stranger", "Credentials stranger/acc"]
    assert "declared by another repository" in found.left[0].reason


def test_settings_that_declared_bots_would_follow_are_left() -> None:
    live = with_objects(running(bistro(), main(), bot("x")), foreign("Settings", "s", expire=60))
    found = taken(desired(bistro(), main(), bot("x")), live)
    assert found.files == {}
    assert found.left[0].reason == "1 declared bots would begin to follow them: declare them by hand"


def test_a_bot_in_the_place_of_a_declared_one_is_left() -> None:
    live = with_objects(LIVE, foreign("Bot", "lost", **keyword("start")))
    found = taken(desired(bistro(), main(), bot("x", **keyword("start"))), live)
    assert "if it is x and lost its mark, reconciler apply --allow adopt:id-lost" in found.left[0].reason


def test_what_names_something_of_others_is_left_with_what_needs_it() -> None:
    live = with_objects(
        LIVE,
        foreign("Bot", "b", credentials="theirs (not managed)"),
        foreign("Settings", "s", fallbackBot="id-b (not managed)"),
        foreign("Bot", "fine", triggerType="advanced", triggerValue="contains:x"),
        foreign("Bot", "wrong", triggerType="advanced", triggerValue="nonsense"),
        foreign("Assistant", "large", instructions="\r\n" * 130_000),
    )
    found = taken(desired(bistro(), main()), live)
    assert refs(found) == ["Bot bistro/fine"]
    reasons = {one.label: one.reason for one in found.left}
    assert reasons["b"] == "it uses theirs (not managed), which is not to be had in YAML"
    assert reasons["Settings"] == "it uses id-b (not managed), which is not to be had in YAML"
    assert "spec.triggerValue 'nonsense' has no operator" in reasons["wrong"]
    assert "longer than 256 KiB" in reasons["large"]


def test_a_text_that_a_file_would_change_stays_where_it_is() -> None:
    texts = ["a\r\nb", "a\nb\n", "\ufeffa\nb", "  \n ", "short"]
    live = with_objects(LIVE, foreign("Bot", "b", systemMessages=texts))
    found = taken(desired(bistro(), main()), live)
    assert list(found.files) == ["bots/bistro/b.yaml"]


NAMES = [
    ("Concierge (Café)", (), "concierge-cafe"),
    ("a", ("a",), "a-2"),
    ("a", ("a", "a-2"), "a-3"),
    ("寿司", (), "bot"),
    ("寿司", ("bot",), "bot-2"),
    ("x" * 80, (), "x" * 63),
    ("x" * 80, ("x" * 63,), "x" * 61 + "-2"),
]


@pytest.mark.parametrize(("title", "used", "wanted"), NAMES, ids=[f"{n[0][:9]}-{len(n[1])}" for n in NAMES])
def test_names(title: str, used: tuple[str, ...], wanted: str) -> None:
    assert name_of(title, used, "bot") == wanted


def test_variables() -> None:
    assert variable_of("bistro-01", "main") == "BISTRO_01_MAIN_API_KEY"
    assert variable_of("1st", "x" * 200) == "K_1ST_" + "X" * 104 + "_API_KEY"


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [("expire", 0, 0), ("expire", 3600, "1h"), ("expire", 86400, "1d"), ("expire", 90, "90s"),
     ("debounceTime", 1500, "1500ms"), ("debounceTime", 60000, "1m"), ("timePerChar", 7, "7ms")],
)  # fmt: skip
def test_durations_are_written_with_their_unit(field: str, value: int, wanted: Any) -> None:
    assert shown(field, value) == wanted
    assert convert(field, wanted) == value
