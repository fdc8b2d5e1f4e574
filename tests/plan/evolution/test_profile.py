"""The profile of an Evolution API server, its pure parts: units, patterns, accounts, slots, what a plan settles."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from reconciler.model import Change, FieldChange, Live, LiveObject, Mark, Object, Plan, Ref, Secret, fingerprint
from reconciler.plan.evolution.accounts import accounts
from reconciler.plan.evolution.fit import UNLISTED, fit, keep_whole
from reconciler.plan.evolution.lower import lower
from reconciler.plan.evolution.profile import EVOLUTION, settle
from reconciler.plan.evolution.regex import both_cases, foreign_syntax, wrong_pattern
from reconciler.plan.order import order
from reconciler.plan.profiles import RUNTIME, profile_of
from reconciler.plan.slots import PARKED_TOKENS, parked, slots_of
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main

KEY = Secret("sk-0123456789abcdef")


def row(
    id: str, mark: str | None = "main", instance: str = "Bistro_01", key: str = KEY.value, at: str = "1"
) -> LiveObject:
    """A row of credentials as `lift` gives it."""
    spec = {"apiKey": fingerprint(id, key), "createdAt": at}
    made = Mark("", mark, "aaaaaaaa") if mark else None
    return LiveObject(kind="Credentials", instance=instance, id=id, spec=spec, mark=made, label=mark or "by hand")


def there(kind: Any, id: str, name: str | None, instance: str = "Bistro_01", **spec: Any) -> LiveObject:
    mark = Mark("", name, "aaaaaaaa") if name else None
    usual: dict[str, Any] = {
        "Bot": {"botType": "chatCompletion", "model": "gpt-4o", "maxTokens": 1000, "credentialsId": None}
    }.get(kind, {})
    return LiveObject(kind=kind, instance=instance, id=id, spec={**usual, **spec}, mark=mark, label=name or id)


def listing(*objects: LiveObject, **unproven: str) -> Live:
    return Live(objects=(there("Instance", "i", None), *objects), version="v", unproven=unproven)


def test_the_profile_of_each_type() -> None:
    assert profile_of("runtime") is RUNTIME
    assert profile_of("evolution") is EVOLUTION
    wanted, live = desired(bistro()), listing()
    assert RUNTIME.lower(wanted, live).desired is RUNTIME.whole(wanted, live) is wanted
    assert RUNTIME.fit(wanted, live) is live
    plan = Plan(target="t", commit=None, source="", version="", changes=())
    assert RUNTIME.settle(plan, wanted, live) is plan


# --- units and fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "lowered"),
    [("expire", 0, 0), ("expire", 1, 1), ("expire", 60, 1), ("expire", 61, 2), ("expire", None, None),
     ("debounceTime", 0, 0), ("debounceTime", 500, 1), ("debounceTime", 1000, 1), ("debounceTime", 1001, 2),
     ("delayMessage", 1500, 1500), ("timePerChar", 7, 7)],
)  # fmt: skip
def test_units(field: str, value: Any, lowered: Any) -> None:
    found = lower(desired(bistro(), main(), bot("one", **{field: value}))).desired
    assert next(one.spec[field] for one in found.objects if one.ref.kind == "Bot") == lowered


def test_lowering_leaves_conversations_and_inherited_notes_out() -> None:
    talk = declared("Bot", "x")
    talk = msgspec.structs.replace(talk, ref=Ref("Conversation", "bistro", "talk"), spec={"turns": []})
    one = msgspec.structs.replace(bot("one", debounceTime=500, expire=30), inherited=("debounceTime",))
    found = lower(desired(bistro(), main(), one, talk))
    assert found.desired.objects[-1] == talk
    notes = "\n".join(found.desired.notes)
    assert "expire is rounded up to whole minutes there: bistro/one (1m)" in notes
    assert "debounceTime" not in notes


def test_a_note_names_five_and_counts_the_others() -> None:
    bots = [bot(f"b{n}", temperature=1.0, maxTokens=100 + n, **keyword(f"k{n}")) for n in range(7)]
    (note,) = [one for one in lower(desired(bistro(), main(), *bots)).desired.notes if "not sent" in one]
    assert note.endswith("bistro/b4 (temperature) and 2 more")


def test_channels_numbers_and_triggers_of_each_kind() -> None:
    found = lower(
        desired(
            bistro(integration="EVOLUTION", number="55"), main(baseUrl="https://api.openai.com/v1/"),
            bot("regex", triggerType="keyword", triggerOperator="regex", triggerValue="(?i)ab"),
            bot("adv", triggerType="advanced", triggerOperator="equals", triggerValue="contains:x"),
            bot("all", triggerType="all", triggerOperator="equals", triggerValue="left"),
        )
    )  # fmt: skip
    assert found.faults == ()
    specs = {one.ref.name: one.spec for one in found.desired.objects if one.ref.kind == "Bot"}
    assert specs["regex"]["triggerValue"] == "[aA][bB]"
    assert (specs["adv"]["triggerOperator"], specs["adv"]["triggerValue"]) == (None, "contains:x")
    assert (specs["all"]["triggerOperator"], specs["all"]["triggerValue"]) == (None, None)
    instance = found.desired.objects[0].spec
    assert instance == {"instanceName": "Bistro_01", "integration": "EVOLUTION", "number": "55"}


def tokens(live: Live | None, *bots: Object) -> dict[str, int]:
    found = lower(desired(bistro(), main(), *bots), live).desired
    return {one.ref.name: one.spec["maxTokens"] for one in found.objects if one.ref.kind == "Bot"}


def test_the_same_max_tokens_go_apart_and_stay_where_they_are() -> None:
    bots = [bot(name, **keyword(name)) for name in ("a", "b", "c")]
    assert tokens(None, *bots) == {"a": 1000, "b": 1001, "c": 1002}
    assert tokens(None, *bots, bot("d", maxTokens=1001, **keyword("d"))) == {"a": 1000, "b": 1001, "c": 1002, "d": 1003}
    live = listing(there("Bot", "1", "b", maxTokens=1000), there("Bot", "2", "c", maxTokens=1002))
    assert tokens(live, *bots) == {"a": 1001, "b": 1000, "c": 1002}
    assert tokens(listing(there("Bot", "1", "b", maxTokens=1001)), *bots[:2]) == {"a": 1000, "b": 1001}
    # One that was moved goes back when nobody is in its way; one that is far off is no choice of ours.
    assert tokens(listing(there("Bot", "1", "b", maxTokens=1001)), bots[1]) == {"b": 1000}
    far = listing(there("Bot", "1", "b", maxTokens=1500), there("Bot", "2", "a", maxTokens=1000))
    assert tokens(far, *bots[:2]) == {"a": 1000, "b": 1001}
    # A foreign bot is in the way, unless it is the very one: adopted, or with a declared one's trigger.
    foreign = there("Bot", "9", None, maxTokens=1000, triggerType="keyword", triggerOperator="equals", triggerValue="z")
    assert tokens(listing(foreign), bots[0]) == {"a": 1001}
    assert tokens(listing(foreign), msgspec.structs.replace(bots[0], adopts="9")) == {"a": 1000}
    same = msgspec.structs.replace(foreign, spec={**foreign.spec, "triggerValue": "a"})
    assert tokens(listing(same), bots[0]) == {"a": 1000}
    assert tokens(
        listing(msgspec.structs.replace(foreign, spec={**foreign.spec, "botType": "assistant"})), bots[0]
    ) == {"a": 1000}
    top = [bot(name, maxTokens=2**31 - 1, **keyword(name)) for name in ("a", "b")]
    assert tokens(None, *top) == {"a": 2**31 - 1, "b": 2**31 - 2}


# --- patterns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("abc", "abc"),
        ("(?i)a1é", "[aA]1[éÉ]"),
        (r"(?i)\bab\d[x-z-]", r"\b[aA][bB]\d[x-zX-Z-]"),
        ("(?i)[A-z]ß", "[A-z]ß"),  # a range over both cases has both; ß has no single capital
        ("(?i)[^b\\]c]", "[^bB\\]cC]"),
        (r"(?i)(?:a|(?<n>b))", r"(?:[aA]|(?<n>[bB]))"),
        (r"(?i)\x41", r"(?i)\x41"),
        (r"(?i)\pL", r"(?i)\pL"),
    ],
)
def test_both_cases(pattern: str, expected: str) -> None:
    assert both_cases(pattern) == expected
    if expected != pattern:  # it matches as RE2's would, as far as Python's own engine can tell
        python = expected.replace("(?<n>", "(?P<n>")
        original = pattern.replace("(?<n>", "(?P<n>")
        for text in ("ABC", "abc", "aB1É", "xab1y", "XAB1Y", "-", "Aß", "B", "]c", "É"):
            assert bool(re.search(python, text)) == bool(re.search(original, text)), text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a|b", None),
        (r"\A", "RE2 as the start of the text: write ^"),
        ("[]a]", "JavaScript does not read [] in a pattern"),
        ("[^]]", "JavaScript does not read [^] in a pattern"),
        ("a(?i)", "JavaScript refuses this pattern"),
        (r"a\x{41}", "as a repeated x: write the character itself"),
        (r"\\x{4}\x41", None),
        (r"\a", "RE2 as the bell"),
        ("[a🍕]", "takes a character beyond U+FFFF in [a🍕 for two"),
        ("🍕+", "takes a character beyond U+FFFF in 🍕+ for two"),
        ("(?:🍕|🍔)+", None),
        ("(?<=a)b", None),  # JavaScript takes it; what it matches is not known here
    ],
)
def test_what_is_wrong_with_a_pattern_there(pattern: str, expected: str | None) -> None:
    found = wrong_pattern(pattern)
    assert (found is None) == (expected is None)
    assert expected is None or expected in str(found)
    assert foreign_syntax("plain") is None


# --- slots ---------------------------------------------------------------------------------------------------


def test_slots_of_each_type() -> None:
    off = {**bot("x", **keyword("a")).spec, "enabled": False}
    assert slots_of("runtime", "Bot", "i", off, "x") == ()
    assert slots_of("runtime", "Credentials", "i", {}, "x") == (("Credentials", "i", "x"),)
    assert slots_of("evolution", "Credentials", "i", {}, "x") == ()
    assert slots_of("evolution", "Bot", "i", off, "x") == (
        ("Bot", "i", "equals", "a"),
        ("Bot", "i", "model and maxTokens", "gpt-4o", "1000"),
    )
    advanced = slots_of("evolution", "Bot", "i", {"triggerType": "advanced", "triggerValue": "a"}, "x")
    assert ("Bot", "i", "regex", "a") in advanced
    assert slots_of(
        "evolution", "Bot", "i", {"triggerType": "all", "botType": "assistant", "assistantId": "z"}, ""
    ) == (
        ("Bot", "i", "all"),
        ("Bot", "i", "assistantId", "z"),
    )
    assert slots_of("evolution", "Bot", "i", {"triggerType": "keyword"}, "") == ()
    assert parked("runtime", "Bot", "x", "123456789")["triggerValue"] == "gitops-swap-x-23456789"
    assert parked("runtime", "Assistant", "x", "1") == {"assistantId": "gitops-swap-x-1"}
    assert parked("evolution", "Bot", "x", "1")["maxTokens"] >= PARKED_TOKENS


# --- accounts and names --------------------------------------------------------------------------------------


def names(live: Live) -> list[str]:
    return sorted(f"{one.id} is {one.mark.name if one.mark else one.label} in {one.instance}" for one in live.objects
                  if one.kind == "Credentials")  # fmt: skip


BLIND = main(apiKey={"env": "KEY"})


@pytest.mark.parametrize(
    ("account", "rows", "expected"),
    [
        (main(), [row("r1")], ["r1 is main in Bistro_01"]),
        (main(), [row("r1", key="other")], ["r1 is main~r1 in Bistro_01"]),
        (main(), [row("r1", None)], ["r1 is main in Bistro_01"]),
        (BLIND, [row("r1", None)], ["r1 is by hand in Bistro_01"]),
        (BLIND, [row("r1"), row("r2", at="2")], ["r1 is main~r1 in Bistro_01", "r2 is main in Bistro_01"]),
        (BLIND, [row("r1", "gone")], ["r1 is gone in Bistro_01"]),
        (main(formerly="gone", apiKey={"env": "KEY"}), [row("r1", "gone")], ["r1 is main in Bistro_01"]),
        (msgspec.structs.replace(BLIND, adopts="r1"), [row("r1", None)], ["r1 is main in Bistro_01"]),
    ],
)
def test_which_row_is_which_account(account: Object, rows: list[LiveObject], expected: list[str]) -> None:
    assert names(fit(desired(bistro(), account), listing(*rows))) == expected


def test_an_account_by_its_use() -> None:
    wanted = desired(bistro(), BLIND, bot("one"), bot("two"))
    used = [there("Bot", "1", "one", credentialsId="r1"), there("Bot", "2", "two", credentialsId="r1")]
    found = fit(wanted, listing(row("r1", None, "Elsewhere"), *used))
    assert names(found) == ["r1 is main in Bistro_01"]
    assert {one.spec["credentials"] for one in found.objects if one.kind == "Bot"} == {"main"}
    assert {one.spec["credentialsIn"] for one in found.objects if one.kind == "Bot"} == {"Elsewhere"}
    # Marked for others of the instance, or used by some only: from that they move.
    assert names(fit(wanted, listing(row("r1", "other"), *used))) == ["r1 is other in Bistro_01"]
    split = [used[0], there("Bot", "2", "two", credentialsId="r2")]
    found = fit(wanted, listing(row("r1", None), row("r2", "main", "Elsewhere"), *split, there("Bot", "3", None)))
    said = {one.id: one.spec["credentials"] for one in found.objects if one.kind == "Bot"}
    assert said == {"1": "by hand (not managed)", "2": "main of Elsewhere", "3": None}
    gone = fit(wanted, listing(there("Bot", "1", "one", credentialsId="r9")))
    assert [one.spec["credentials"] for one in gone.objects if one.kind == "Bot"] == ["r9 (gone)"]


def test_one_row_under_two_names_is_called_as_each_bot_says() -> None:
    spare = declared("Credentials", "spare", apiKey=KEY)
    wanted = desired(bistro(), main(), spare, bot("one"), bot("two", credentials="spare"))
    used = [there("Bot", str(n), name, credentialsId="r1") for n, name in enumerate(("one", "two", "stray"))]
    found = fit(wanted, listing(row("r1"), *used))
    assert [one.spec["credentials"] for one in found.objects if one.kind == "Bot"] == ["main", "spare", "main"]


def test_settings_say_their_fallback_by_name() -> None:
    wanted = desired(bistro(), main(), declared("Settings", "default", credentials="main"))
    for id, expected in (("1", "one"), ("2", "2 (not managed)"), ("3", "3 (gone)"), (None, None)):
        settings = there("Settings", "s", None, fallbackId=id, credentialsId="r1")
        found = fit(wanted, listing(row("r1"), settings, there("Bot", "1", "one"), there("Bot", "2", None)))
        (spec,) = [one.spec for one in found.objects if one.kind == "Settings"]
        assert (spec["fallbackBot"], spec["credentials"]) == (expected, "main")


def test_a_channel_cannot_be_changed_and_is_none() -> None:
    live = Live(objects=(there("Instance", "i", None, integration="WHATSAPP-BAILEYS", number="1"),), version="")
    wanted = lower(desired(bistro())).desired
    assert fit(wanted, live).objects[0].spec["integration"] == "EVOLUTION"
    assert fit(desired(), live).objects[0].spec["integration"] == "WHATSAPP-BAILEYS"


def test_what_is_not_whole_is_left_out_on_both_sides() -> None:
    clinic = declared("Instance", "clinic", "clinic", instanceName="Clinic")
    wanted = desired(bistro(), main(), clinic, declared("Credentials", "main", "clinic", apiKey=KEY))
    live = listing(
        row("r1"), there("Instance", "j", None, "Clinic"), row("r2", "x", "Clinic", "other"), Bistro_01="cut off"
    )
    assert [str(one.ref) for one in keep_whole(wanted, live).objects] == ["Instance clinic", "Credentials clinic/main"]
    assert names(fit(wanted, live)) == ["r1 is main in Clinic", "r2 is x in Clinic"]
    assert keep_whole(wanted, listing()) is wanted
    unlisted = Live(objects=listing().objects, version="", unproven={UNLISTED: "one is missing"})
    assert [one.ref.instance for one in keep_whole(wanted, unlisted).objects] == ["bistro", "bistro"]


def test_back_in_yamls_terms() -> None:
    bots = [
        there("Bot", "1", None, expire=20, debounceTime=10, triggerType="all", triggerOperator=None, triggerValue=None),
        there("Bot", "2", None, expire=None, triggerType="keyword", triggerOperator="equals",
              triggerValue="gitops-none-x", credentialsId="r1"),
        there("Bot", "3", None, botType="assistant", assistantId="asst_1"),
        there("Bot", "4", None, debounceTime=601),
    ]  # fmt: skip
    line = there("Instance", "w", None, "Line", integration="WHATSAPP-BAILEYS", number="55")
    universal = there("Instance", "u", None, "Universal", integration="EVOLUTION", number="56")
    unset = there("Settings", "s", None, keepOpen=None, expire=3)
    live = Live(objects=(line, universal, row("r1", None), unset, *bots), version="")
    found = EVOLUTION.raised(fit(desired(), live))
    specs = {one.id: one.spec for one in found.live.objects}
    assert (specs["1"]["expire"], specs["1"]["debounceTime"], specs["1"]["triggerType"]) == (1200, 10_000, "all")
    assert (specs["2"]["expire"], specs["2"]["triggerType"], specs["2"]["triggerValue"]) == (None, "none", None)
    assert specs["2"]["credentials"] == "by hand (not managed)"
    assert not {"credentialsId", "credentialsIn"} & set(specs["2"])
    assert {"tools", "temperature", "reasoningEffort"} <= set(specs["1"])
    assert (specs["w"]["integration"], specs["w"]["number"], specs["w"]["webhook"]) == ("WEB", None, None)
    assert (specs["u"]["integration"], specs["u"]["number"]) == ("EVOLUTION", "56")
    assert "createdAt" not in specs["r1"]
    assert (specs["s"]["keepOpen"], specs["s"]["expire"]) == (False, 180)
    assert set(found.left) == {"3", "4"}
    assert "an API that is gone" in found.left["3"]
    assert found.left["4"] == "its debounceTime is more than YAML takes"


# --- the whole plan ------------------------------------------------------------------------------------------


def change(action: Any, one: LiveObject | None, name: str, held: str = "", **more: Any) -> Change:
    kind = one.kind if one is not None else "Bot"
    ref = Ref(kind, "bistro", name)
    return Change(action=action, ref=ref, instance_name="Bistro_01", live=one, held=held, **more)


def settled(live: Live, *changes: Change) -> Plan:
    plan = Plan(target="t", commit=None, source="", version="", changes=changes, type="evolution")
    return settle(plan, desired(), live)


@pytest.mark.parametrize(
    ("left", "origin"),
    [
        ("main~r00001", "pending"),
        ("main of Elsewhere", "pending"),
        ("by hand (not managed) of Elsewhere", "pending"),
        ("spare", "drift"),
        ("Key of Bob (not managed)", "drift"),
        ("a~b (not managed)", "drift"),
    ],
)
def test_only_rows_that_plans_alone_choose_are_left_without_drift(left: str, origin: str) -> None:
    field = FieldChange(field="credentials", before=left, after="main", origin="drift")
    one = there("Bot", "1", "x", credentialsId="r1")
    found = settled(listing(one), change("update", one, "x", fields=(field,), spec=bot("x").spec)).changes[0]
    assert [each.origin for each in found.fields] == [origin]
    assert found.inherited == (("credentials",) if origin == "pending" else ())


def test_rows_that_somebody_uses_stay() -> None:
    account, user = row("r1", "spare"), there("Bot", "1", "one", "Elsewhere", credentialsId="r1")
    gone = change("delete", account, "spare")
    assert settled(listing(account, user), gone).changes[0].held == "still used by Bot 'one' of Elsewhere"
    elsewhere = msgspec.structs.replace(change("delete", user, "one"), instance_name="Elsewhere")
    assert settled(listing(account, user), gone, elsewhere).changes[0].held == ""
    whole = Change(
        action="delete", ref=Ref("Instance", "e", "e"), instance_name="Elsewhere", live=there("Instance", "e", None)
    )
    assert settled(listing(account, user), gone, whole).changes[0].held == ""


def test_an_instance_does_not_take_others_with_it() -> None:
    account, user = row("r1"), there("Bot", "1", "one", "Elsewhere", credentialsId="r1")
    whole = change("delete", there("Instance", "i", None), "bistro")
    plan = settled(listing(account, user), whole)
    assert "has the credentials that Bot 'one' of Elsewhere use" in plan.faults[0].reason
    assert settled(listing(account), whole).faults == ()
    moving = Change(
        action="delete", ref=Ref("Bot", "e", "one"), instance_name="Elsewhere", live=user, spec=None
    )  # fmt: skip
    live = msgspec.structs.replace(user, spec={**user.spec, "credentialsIn": "Bistro_01"})
    moving = msgspec.structs.replace(moving, live=live)
    plan = settled(listing(account, user), whole, moving)
    assert plan.faults == ()
    steps = order(plan)
    assert [step.ref.kind for step in steps] == ["Bot", "Instance"]  # it leaves before its account goes
    assert steps[1].needs == (0,)


def test_two_slots_can_make_one_circle() -> None:
    """One has the trigger that the other wants, which has its model and maxTokens."""

    def moved(id: str, name: str, before: dict[str, Any], after: dict[str, Any]) -> Change:
        live = there("Bot", id, name, **before)
        spec = {"botType": "chatCompletion", "model": "gpt-4o", **after}
        from reconciler.model import FieldChange

        fields = tuple(FieldChange(field=f, before=before.get(f), after=v, origin="pending") for f, v in after.items())
        return change("update", live, name, fields=fields, spec=spec)

    one = moved("1", "one", {"maxTokens": 1, **keyword("a")}, {"maxTokens": 2, **keyword("b")})
    two = moved("2", "two", {"maxTokens": 2, **keyword("c")}, {"maxTokens": 3, **keyword("a")})
    three = moved("3", "three", {"maxTokens": 4, **keyword("b")}, {"maxTokens": 5, **keyword("c")})
    steps = order(Plan(target="t", commit=None, source="", version="", changes=(one, two, three), type="evolution"))
    assert [step.note for step in steps].count("parked for a swap") >= 1
    held = {"1": {"t": "a", "m": 1}, "2": {"t": "c", "m": 2}, "3": {"t": "b", "m": 4}}
    for step in steps:
        assert step.id is not None
        held[step.id] = {"t": step.values["triggerValue"], "m": step.values["maxTokens"]}
        for what in ("t", "m"):
            assert len({one[what] for one in held.values()}) == 3, step


def test_a_row_chosen_in_a_dashboard_is_not_taken_for_ones_own() -> None:
    blind = main(apiKey={"env": "KEY"})
    other = declared("Credentials", "main", "clinic", apiKey={"env": "OTHER"})
    wanted = desired(bistro(), blind, other, bot("a"), declared("Bot", "b", "clinic"))
    live = listing(
        row("r1"),
        row("r2", None, key="sk-another"),
        there("Bot", "1", "a", credentialsId="r2"),
        there("Bot", "2", "b", "clinic", credentialsId="r1"),
    )
    assert accounts(wanted, live).rows[blind.ref].id == "r1"
