"""An Evolution API server as a target: what is read, what a plan makes of it, how steps become its calls."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.errors import PlanRefused, Rejected, Unavailable
from reconciler.live.client import AnswerLost
from reconciler.live.evolution import Evolution
from reconciler.live.evolution_whole import Part, part_of, unproven
from reconciler.model import DEMO, Desired, Object, Ref, Secret
from reconciler.plan.order import order
from reconciler.plan.render import text
from tests.evolution.serve import KEY, serving
from tests.evolution.world import World
from tests.live.served import scripted
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main

NEW = Secret("sk-another-key-0123456789")


def clinic(*objects: Object) -> list[Object]:
    return [declared("Instance", "clinic", "clinic", instanceName="Clinic"), *objects]


def settings(instance: str = "bistro", **more: Any) -> Object:
    return declared("Settings", "default", instance, credentials="main", **more)


async def applied(world: World, wanted: Desired) -> list[str]:
    """A pass that is whole and leaves nothing to do; gives the plan's changes."""
    plan = await world.plan(wanted)
    walked = await world.apply(plan)
    assert walked.complete, walked.messages
    again = await world.plan(wanted)
    assert again.changes == (), text(again)
    assert world.wrong(wanted) == []
    return [f"{one.action} {one.ref}" for one in plan.changes]


def sent(world: World) -> list[str]:
    """The calls that change something, without ids."""
    found = [line.split("?")[0] for line in world.wire.sent if not line.startswith("GET")]
    world.wire.sent.clear()
    return [" ".join((line.split(" ")[0], "/".join(line.split("/")[1:3]))) for line in found]


# --- accounts ------------------------------------------------------------------------------------------------


async def test_a_new_key_is_a_new_row_and_the_old_one_goes_last() -> None:
    world = World()
    fleet = (bistro(), settings(), bot("one", **keyword("one")), bot("two", **keyword("two")))
    await applied(world, desired(*fleet, main()))
    sent(world)
    plan = await world.plan(desired(*fleet, main(apiKey=NEW)))
    assert {one.origin for one in plan.changes} == {"pending"}
    assert [f"{s.action} {s.ref.kind}" for s in order(plan)] == [
        "create Credentials",
        "update Settings",
        "update Bot",
        "update Bot",
        "delete Credentials",
    ]
    assert "a key cannot be changed there" in " ".join(plan.notes)
    assert "bots inherit" in text(plan)  # one cause, so that no brake trips
    await applied(world, desired(*fleet, main(apiKey=NEW)))
    assert sent(world) == ["POST openai/creds", "POST openai/settings", "PUT openai/update", "PUT openai/update",
                           "DELETE openai/creds"]  # fmt: skip
    assert [row["apiKey"] for row in world.store.credentials.values()] == [NEW.value]
    assert len(world.store.bots) == 2


async def test_a_replacement_that_was_broken_off_goes_on_without_the_key() -> None:
    """A plan knows no keys: the newest row is the right one, what is on the older one moves."""
    world = World()
    fleet = (bistro(), settings(), bot("one"))
    await applied(world, desired(*fleet, main()))
    plan = await world.plan(desired(*fleet, main(apiKey=NEW)))
    first = order(plan)[0]
    assert first.ref.kind == "Credentials"
    await world.target.perform(first, plan.ids)
    blind = desired(*fleet, main(apiKey={"env": "KEY"}))
    assert [f"{s.action} {s.ref.kind}" for s in order(await world.plan(blind))] == [
        "update Settings",
        "update Bot",
        "delete Credentials",
    ]
    await applied(world, desired(*fleet, main(apiKey=NEW)))


async def test_one_key_in_two_instances_is_one_row() -> None:
    world = World()
    other = declared("Credentials", "account", "clinic", apiKey=Secret("sk-0123456789abcdef"))
    fleet = desired(
        bistro(), main(), settings(), bot("one"),
        *clinic(other, declared("Bot", "one", "clinic", credentials="account", **keyword("start"))),
        declared("Settings", "default", "clinic", credentials="account", fallbackBot="one"),
    )  # fmt: skip
    await applied(world, fleet)
    rows = [row for row in world.store.credentials.values() if not row["apiKey"].startswith("no-key")]
    assert len(rows) == 1
    assert {bot["openaiCredsId"] for bot in world.store.bots.values()} == {rows[0]["id"]}
    plan = await world.plan(fleet)
    assert any("placeholder credentials stand in" in note for note in plan.notes)
    # Seen without keys it is the same.
    blind = [
        msgspec.structs.replace(one, spec={**one.spec, "apiKey": {"env": "KEY"}})
        if one.ref.kind == "Credentials"
        else one
        for one in fleet.objects
    ]
    assert (await world.plan(msgspec.structs.replace(fleet, objects=tuple(blind)))).changes == ()
    # The instance that has the row declares it no more: the row stays, for the other's bots use it.
    left = desired(bistro(), *(one for one in fleet.objects if one.ref.instance == "clinic"))
    plan = await world.plan(left)
    assert not any(one.ref.kind == "Credentials" and not one.held for one in plan.changes)


async def test_speech_to_text_needs_a_key_of_its_own() -> None:
    world = World()
    fleet = [bistro(), main(), settings(speechToText=True), *clinic(
        declared("Credentials", "main", "clinic", apiKey=Secret("sk-0123456789abcdef")),
        settings("clinic", speechToText=True),
    )]  # fmt: skip
    plan = await world.plan(desired(*fleet))
    (fault,) = plan.faults
    assert "Settings clinic/default: speechToText needs Credentials with a key of their own" in fault.reason
    assert fault.reason.startswith("bots/bistro/bots.yaml:1:1")
    assert "give this instance another key" in fault.remedy


async def test_a_row_made_by_hand_that_has_the_key_is_used_and_never_deleted() -> None:
    world = World()
    id = world.store.create_instance({"instanceName": "Bistro_01", "integration": "EVOLUTION"})["instance"][
        "instanceId"
    ]
    row = world.store.create_credentials(id, {"name": "by hand", "apiKey": "sk-0123456789abcdef"})
    fleet = desired(bistro(), main(), settings(), bot("one"))
    assert await applied(world, fleet) == ["create Settings bistro/default", "create Bot bistro/one"]
    assert list(world.store.credentials) == [row["id"]]
    blind = desired(bistro(), main(apiKey={"env": "KEY"}), settings(), bot("one"))
    assert (await world.plan(blind)).changes == ()
    gone = await world.plan(desired(bistro()))
    assert not any(one.ref.kind == "Credentials" for one in gone.changes)


async def test_credentials_that_somebody_still_uses_stay() -> None:
    world = World()
    spare = declared("Credentials", "spare", apiKey=NEW)
    await applied(world, desired(bistro(), main(), spare, settings(), bot("one")))
    row = next(row for row in world.store.credentials.values() if row["apiKey"] == NEW.value)
    instance = next(iter(world.store.instances.values()))
    hand = {
        "enabled": True, "openaiCredsId": row["id"], "botType": "chatCompletion", "model": "m", "maxTokens": 7,
        "triggerType": "keyword", "triggerOperator": "equals", "triggerValue": "hand",
    }  # fmt: skip
    world.store.create_bot(instance["id"], hand)
    plan = await world.plan(desired(bistro(), main(), settings(), bot("one")))
    (change,) = plan.changes
    assert change.held
    # Somebody begins to use it between the reading and the call.
    step = order(msgspec.structs.replace(plan, changes=(msgspec.structs.replace(change, held=""),)))[0]
    with pytest.raises(Rejected, match="1 bots still use it"):
        await world.target.perform(step, {})
    assert len(world.store.bots) == 2


async def test_an_instance_with_the_credentials_of_another_is_not_deleted() -> None:
    world = World()
    clinics = clinic(
        declared("Credentials", "main", "clinic", apiKey=Secret("sk-0123456789abcdef")),
        declared("Bot", "one", "clinic", **keyword("one")),
    )
    await applied(world, desired(bistro(), main(), settings(), bot("one"), *clinics))
    from reconciler.plan.diff import Before, diff
    from reconciler.plan.profiles import profile_of

    live, profile = await world.read(), profile_of("evolution")
    lowered = profile.lower(desired(*clinics), live).desired
    seen = profile.fit(lowered, live)
    plan = diff(
        lowered, seen, Before(instances={"Bistro_01": "bistro"}), target="t", type="evolution",
        allow={"delete-instance:bistro"},
    )  # fmt: skip
    faults = [one.reason for one in profile.settle(plan, lowered, live).faults]
    assert [one for one in faults if "Instance bistro has the credentials that Bot 'one' of Clinic use" in one]


# --- rules ---------------------------------------------------------------------------------------------------


async def test_two_bots_that_trade_triggers_go_through_a_third() -> None:
    world = World()
    fleet = (bistro(), main(), settings())
    await applied(world, desired(*fleet, bot("one", **keyword("a")), bot("two", enabled=False, **keyword("b"))))
    ids = {row["description"].split()[1].split("@")[0]: id for id, row in world.store.bots.items()}
    sent(world)
    await applied(world, desired(*fleet, bot("one", **keyword("b")), bot("two", enabled=False, **keyword("a"))))
    assert sent(world) == ["PUT openai/update"] * 3
    now = {row["description"].split()[1].split("@")[0]: row for row in world.store.bots.values()}
    assert {name: row["id"] for name, row in now.items()} == ids
    assert (now["one"]["triggerValue"], now["two"]["triggerValue"]) == ("b", "a")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (keyword("x"), {**keyword("x"), "enabled": False}, "refuses the same trigger (one"),
        ({"triggerType": "all"}, {"triggerType": "all", "enabled": False}, "refuses a bot with trigger `all`"),
        (keyword("a"), {"triggerType": "advanced", "triggerValue": "a"}, "refuses the same trigger (one"),
        ({"unknownMessage": "x" * 101}, {}, "unknownMessage has 101 characters, that server stores 100"),
        ({"systemMessages": ["a\0"]}, {}, "systemMessages holds a NUL character"),
        ({"model": None}, {}, "that server's bots need a model"),
    ],
)
async def test_what_the_server_would_refuse_is_refused_before(
    first: dict[str, Any], second: dict[str, Any], expected: str
) -> None:
    plan = await World().plan(desired(bistro(), main(), settings(), bot("one", **first), bot("two", **second)))
    assert [one for one in plan.faults if expected in one.reason], plan.faults
    with pytest.raises(PlanRefused, match=r"bots/bistro/bots\.yaml:1:1"):
        await World().apply(plan)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"baseUrl": "https://llm.example.com/v1"}, "so https://llm.example.com/v1 cannot be used"),
        ({"baseUrl": DEMO, "apiKey": Secret(DEMO)}, "that server has no demo model"),
        ({"apiKey": Secret("k" * 256)}, "the key is longer than the 255 characters"),
    ],
)
async def test_accounts_that_the_server_cannot_use_are_refused(fields: dict[str, Any], expected: str) -> None:
    plan = await World().plan(desired(bistro(), main(**fields), settings(), bot("one")))
    assert [one for one in plan.faults if expected in one.reason], plan.faults


async def test_what_cannot_be_followed_is_said_of_each() -> None:
    tool = {"type": "function", "name": "check_table", "parameters": {}}
    helper = declared("Assistant", "helper", assistantId="asst_1", instructions="Help.", model="gpt-4o",
                      temperature=0.5, tools=[tool, {"type": "file_search"}])  # fmt: skip
    world = World()
    fleet = desired(
        bistro(webhook="https://example.com/x", retention=86400),
        main(organization="org-1"),
        helper,
        settings(debounceTime=1500),
        bot("assisted", botType="assistant", assistantId="asst_1", model=None, maxTokens=None, systemMessages=["Hi."]),
        bot("bare", botType="assistant", assistantId="asst_2", model="gpt-5", **keyword("bare")),
        bot("warm", temperature=1.0, ignoreJids=["1@s.whatsapp.net"], expire=90, triggerType="all"),
    )
    await applied(world, fleet)
    notes = "\n".join((await world.plan(fleet)).notes)
    for expected in (
        "webhook is set in that server's own settings, not from here: bistro",
        "retention cannot be kept there: that server deletes no chats: bistro",
        "organization is not sent by that server: the key's own default holds: bistro/main",
        "with its Assistant's text: bistro/assisted",
        "without what asst_2 held at OpenAI: bistro/bare",
        "have none: bistro/assisted (check_table), bistro/assisted (file_search)",
        "the model's default holds: bistro/assisted (temperature), bistro/warm (temperature)",
        "maxTokens is needed there, so one is put in: bistro/assisted (1000)",
        "maxTokens is the next free one, for that server takes a model and maxTokens once: bistro/warm (1001)",
        "max_tokens, which that server sends: customers get an error: bistro/bare (gpt-5)",
        "so a keyword that nobody writes takes its place: bistro/assisted",
        "expire is rounded up to whole minutes there: bistro/warm (2m)",
        "debounceTime is rounded up to whole seconds there: bistro/default (2s)",
        "ignoreJids of a bot are not looked at there, only those of the Settings: bistro/warm",
    ):
        assert expected in notes, expected
    rows = {row["description"].split()[1].split("@")[0]: row for row in world.store.bots.values()}
    assert rows["assisted"]["systemMessages"] == ["Help.", "Hi."]
    assert rows["assisted"]["botType"] == "chatCompletion"
    assert (rows["warm"]["expire"], rows["warm"]["debounceTime"]) == (2, 1)


async def test_settings_that_name_no_account_get_that_of_the_bots() -> None:
    world = World()
    bare = declared("Settings", "default", credentials=None)
    await applied(world, desired(bistro(), main(), bare, bot("one")))
    plan = await World().plan(desired(bistro(), declared("Settings", "default", credentials=None)))
    assert ["that server's Settings need Credentials" in one.reason for one in plan.faults] == [True]


async def test_a_fallback_bot_is_set_changed_and_taken_away() -> None:
    world = World()
    bots = [bot("one"), bot("two", **keyword("two"))]
    for fallback in ("one", "two", None):
        await applied(world, desired(bistro(), main(), settings(fallbackBot=fallback), *bots))


async def test_what_a_dashboard_changed_is_put_back() -> None:
    world = World()
    wanted = desired(bistro(), main(), settings(), bot("one", expire=3600, **keyword("start")))
    await applied(world, wanted)
    (row,) = world.store.bots.values()
    row |= {"expire": 5, "triggerType": "all", "functionUrl": "https://example.com/x", "keywordFinish": "bye"}
    plan = await world.plan(wanted)
    assert "expire: 5m → 1h" in text(plan)
    assert await applied(world, wanted) == ["update Bot bistro/one"]


async def test_renamed_credentials_keep_their_row() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))
    renamed = declared("Credentials", "account", apiKey=Secret("sk-0123456789abcdef"), formerly="main")
    fleet = desired(
        bistro(), renamed, declared("Settings", "default", credentials="account"), bot("one", credentials="account")
    )
    assert await applied(world, fleet) == []


# --- readings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [("creds/Bistro_01", "creds"), ("find/Bistro_01", "find"), ("fetchSettings/Bistro_01", "fetchSettings")],
)
@pytest.mark.parametrize("kind", ["500", "truncated"])
async def test_an_instance_that_cannot_be_read_is_left_alone(path: str, expected: str, kind: Any) -> None:
    other = declared("Credentials", "main", "clinic", apiKey=NEW)
    clinics = clinic(other, settings("clinic"), declared("Bot", "one", "clinic"))
    with serving() as server:
        target = Evolution(server.url, KEY, attempts=1)
        world = World()
        world.target, world.store = target, server.store
        wanted = desired(bistro(), main(), settings(), bot("one"), *clinics)
        await applied(world, wanted)
        server.fault(kind, path=f"GET /openai/{expected}/Bistro_01", times=2)
        less = desired(bistro(), main(), settings(), *clinics[:-1], declared("Bot", "two", "clinic"))
        plan = await world.plan(less)
        assert set(plan.unproven) == {"Bistro_01"}
        assert {f"{one.action} {one.ref}" for one in plan.changes} == {"create Bot clinic/two", "delete Bot clinic/one"}
        assert any("Bistro_01 is left alone in this pass, its listing is not whole" in note for note in plan.notes)
        await target.close()


async def test_a_listing_that_lacks_what_another_names_is_not_believed() -> None:
    world = World()
    wanted = desired(bistro(), main(), settings(fallbackBot="one"), bot("one"), bot("two", **keyword("two")))
    await applied(world, wanted)
    find = world.store.find_bots
    world.store.find_bots = lambda instance: find(instance)[:1]  # type: ignore[method-assign]
    live = await world.read()
    assert set(live.unproven) == {"Bistro_01"}
    assert "listing of bots" in live.unproven["Bistro_01"]
    assert (await world.plan(wanted)).changes == ()
    world.store.find_bots = find  # type: ignore[method-assign]
    rows = world.store.find_credentials
    world.store.find_credentials = lambda instance: []  # type: ignore[method-assign]
    assert "credentials that no listing has" in (await world.read()).unproven["Bistro_01"]
    world.store.find_credentials = rows  # type: ignore[method-assign]
    assert (await world.read()).unproven == {}


async def test_an_instance_that_is_not_listed_is_not_made_again() -> None:
    world = World()
    clinics = clinic(
        declared("Credentials", "main", "clinic", apiKey=Secret("sk-0123456789abcdef")),
        declared("Bot", "one", "clinic", **keyword("one")),
    )
    await applied(world, desired(bistro(), main(), settings(), bot("one"), *clinics))
    fetch = world.store.fetch_instances
    world.store.fetch_instances = lambda *given: [row for row in fetch(*given) if row["name"] != "Clinic"]  # type: ignore[method-assign]
    plan = await world.plan(desired(bistro(), main(), settings(), bot("one"), *clinics))
    assert plan.changes == ()
    assert any(note.startswith("what is not listed is left alone") for note in plan.notes)


async def test_a_pass_without_changes_is_known_by_its_digest() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))
    live = await world.read()
    assert await world.target.read(live.version) is None
    next(iter(world.store.instances.values()))["connectionStatus"] = "close"  # nothing of ours
    assert await world.target.read(live.version) is None
    next(iter(world.store.bots.values()))["enabled"] = False
    assert await world.target.read(live.version) is not None


@pytest.mark.parametrize(
    "answer",
    [(200, {}, b"{}"), (200, {}, b'[{"id": "1"}]'), (404, {}, b"{}"), (200, {}, b"<html>"), (500, {}, b"oh")],
)
async def test_what_is_no_such_server_is_unavailable(answer: tuple[int, dict[str, str], bytes]) -> None:
    async with scripted(answer) as server:
        target = Evolution(server.url, KEY, attempts=1)
        with pytest.raises(Unavailable):
            await target.read()
        await target.close()


async def test_a_listing_with_an_etag_is_not_sent_twice() -> None:
    async with scripted((200, {"etag": '"1"'}, b"[]"), (304, {"etag": '"1"'}, b"")) as server:
        target = Evolution(server.url, KEY)
        live = await target.read()
        assert live is not None
        assert live.objects == ()
        assert await target.read(live.version) is None
        assert 'if-none-match: "1"' in server.heard[1].lower()
        await target.close()


# --- its 500s ------------------------------------------------------------------------------------------------


async def test_a_users_mistake_is_told_once_and_trouble_is_tried_again() -> None:
    with serving() as server:
        world = World()
        world.target, world.store = Evolution(server.url, KEY), server.store
        await applied(world, desired(bistro(), main(), settings(), bot("one", **keyword("a"))))
        plan = await world.plan(desired(bistro(), main(), settings(), bot("one", **keyword("b")), bot("two")))
        update, create = (next(s for s in order(plan) if s.action == action) for action in ("update", "create"))
        server.clear()
        server.fault("500", path="PUT /openai/update", times=2)
        await world.target.perform(update, plan.ids)
        assert [one.status for one in server.seen if one.method == "PUT"] == [0, 0, 200]
        server.clear()
        (row,) = server.store.bots.values()
        clash = msgspec.structs.replace(
            create, values={**create.values, "triggerValue": "b", "triggerOperator": "equals", "maxTokens": 3}
        )
        assert row["triggerValue"] == "b"
        with pytest.raises(Rejected, match=r"Trigger already exists \(another bot of the instance, enabled or not"):
            await world.target.perform(clash, plan.ids)
        assert len([one for one in server.seen if one.method == "POST"]) == 1
        server.clear()
        server.fault("500-after", path="POST /openai/create")
        with pytest.raises(AnswerLost):
            await world.target.perform(create, plan.ids)
        assert len(server.store.bots) == 2
        await world.target.close()


async def test_what_is_gone_already_is_deleted() -> None:
    world = World()
    spare = declared("Credentials", "spare", apiKey=NEW)
    await applied(world, desired(bistro(), main(), spare, settings(), bot("one")))
    plan = await world.plan(desired(bistro(), main(), settings()))
    steps = order(plan)
    assert sorted(s.ref.kind for s in steps) == ["Bot", "Credentials"]
    world.store.bots.clear()
    world.store.credentials = {id: row for id, row in world.store.credentials.items() if row["apiKey"] != NEW.value}
    for step in steps:
        assert await world.target.perform(step, plan.ids) is None


async def test_a_bot_that_is_not_deleted_is_not_taken_for_gone() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))
    plan = await world.plan(desired(bistro(), main(), settings()))
    (step,) = order(plan)
    wrong = msgspec.structs.replace(step, instance_name="Other")
    world.store.create_instance({"instanceName": "Other", "integration": "EVOLUTION"})
    with pytest.raises(Rejected, match="Error deleting Openai bot"):
        await world.target.perform(wrong, plan.ids)


async def test_credentials_of_an_instance_that_cannot_be_read_are_known_to_others() -> None:
    world = World()
    clinics = clinic(
        declared("Credentials", "main", "clinic", apiKey=Secret("sk-0123456789abcdef")),
        declared("Bot", "one", "clinic", **keyword("one")),
    )
    await applied(world, desired(bistro(), main(), settings(), bot("one"), *clinics))
    find, broken = world.store.find_bots, world.store.instances["Bistro_01"]["id"]
    world.store.find_bots = lambda instance: None if instance == broken else find(instance)  # type: ignore[assignment,method-assign,return-value]
    plan = await world.plan(desired(bistro(), main(), settings(), *clinics[:-1], declared("Bot", "two", "clinic")))
    assert dict(plan.unproven) == {"Bistro_01": "its bots are no list"}
    assert {f"{one.action} {one.ref}" for one in plan.changes} == {"create Bot clinic/two", "delete Bot clinic/one"}


GOOD: dict[str, Any] = {"id": "b", "openaiCredsId": "c", "instanceId": "i"}


@pytest.mark.parametrize(
    ("credentials", "bots", "settings", "expected"),
    [
        ([], [], {"expire": 1}, ""),
        (Unavailable("down"), [], {"expire": 1}, "down"),
        ([], None, {"expire": 1}, "its bots are no list"),
        ([], [{**GOOD, "id": None}], {"expire": 1}, "its bots lack an id"),
        ([1], [], {"expire": 1}, "its credentials lack an id"),
        ([], [{**GOOD, "instanceId": "j"}], {"expire": 1}, "its bots are another instance's"),
        ([], [], Unavailable("down"), "down"),
        ([], [], None, "its settings are none"),
        ([], [], {"expire": 1, "instanceId": "j"}, "its settings are none"),
    ],
)
def test_listings_as_they_must_be(credentials: Any, bots: Any, settings: Any, expected: str) -> None:
    assert part_of({"id": "i", "name": "I"}, credentials, bots, settings).error == expected


def test_listings_against_one_another() -> None:
    account = {"id": "c", "name": "n", "instanceId": "i", "OpenaiAssistant": [{"id": "b", "instanceId": "i"}]}
    whole = Part({"id": "i", "name": "I"}, [account], [GOOD], {"openaiCredsId": "c", "openaiIdFallback": "b"})
    replace = msgspec.structs.replace
    assert unproven({"I": whole}) == {}
    for part, said in (
        (replace(whole, bots=[]), "its settings name a fallback bot that its listing of bots does not have"),
        (replace(whole, settings={}, bots=[]), "its listing of bots lacks b, which uses credentials of I"),
        (replace(whole, settings={"openaiCredsId": "x"}), "its settings use credentials that no listing has"),
        (replace(whole, bots=[{**GOOD, "openaiCredsId": "x"}]), "its bot b uses credentials that no listing has"),
        (replace(whole, error="down"), "down"),
    ):
        assert unproven({"I": part}) == {"I": said}
    other = replace(whole, credentials=[{**account, "OpenaiAssistant": [{"id": "z", "instanceId": "gone"}]}])
    assert unproven({"I": other}) == {"": "credentials of I are used in an instance that is not listed"}


async def test_steps_that_the_server_has_no_call_for() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))
    plan = await world.plan(desired(bistro(), main(), settings(), bot("one"), bot("two")))
    (step,) = order(plan)

    async def refused(status: int, kind: Any, action: Any, **more: Any) -> str:
        ref = msgspec.structs.replace(step.ref, kind=kind)
        with pytest.raises(Rejected) as error:
            await world.target.perform(msgspec.structs.replace(step, ref=ref, action=action, **more), plan.ids)
        assert error.value.status == status
        return str(error.value)

    assert "cannot change Instance" in await refused(405, "Instance", "update")
    assert "cannot change Credentials" in await refused(405, "Credentials", "update")
    assert "no call to create Assistant" in await refused(405, "Assistant", "create")
    assert "no call to delete Settings" in await refused(405, "Settings", "delete")
    named = {"env": "KEY"}
    assert "is not known here" in await refused(400, "Credentials", "create", values={"apiKey": named})
    demo = {"apiKey": Secret(DEMO)}
    assert "no demo model" in await refused(400, "Credentials", "create", values=demo)
    lost = {**step.values, "credentials": "gone"}
    assert "Credentials bistro/gone is not on the server" in await refused(404, "Bot", "create", values=lost)


async def test_an_answer_that_says_nothing_is_a_lost_one() -> None:
    async with scripted((200, {}, b"[]")) as server:
        target = Evolution(server.url, KEY)
        world = World()
        step = order(await world.plan(desired(bistro())))[0]
        with pytest.raises(AnswerLost, match="without saying what it made"):
            await target.perform(step, {})
        await target.close()


async def test_a_fallback_that_is_not_kept_is_said() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))
    plan = await world.plan(desired(bistro(), main(), settings(fallbackBot="one"), bot("one")))
    (step,) = order(plan)
    set_settings = world.store.set_settings
    world.store.set_settings = lambda i, b: {**set_settings(i, b), "openaiIdFallback": None}  # type: ignore[method-assign]
    with pytest.raises(Rejected, match="kept another fallback bot than one"):
        await world.target.perform(step, plan.ids)


async def test_the_servers_own_trouble_is_told_as_it_is() -> None:
    with serving() as server:
        world = World()
        world.target, world.store = Evolution(server.url, KEY, attempts=2), server.store
        await applied(world, desired(bistro(), main(), settings(), bot("one")))
        server.fault("500", path="GET /openai", times=100)
        with pytest.raises(Unavailable, match="answered 500"):
            await world.target.read()
        server.clear()
        plan = await world.plan(desired(bistro(), main(), settings()))
        server.fault("500", path="DELETE /openai", times=100)
        with pytest.raises(Unavailable, match="answered 500"):
            await world.target.perform(order(plan)[0], plan.ids)
        await world.target.close()


async def test_what_somebody_made_by_hand_is_read_as_it_is() -> None:
    world = World()
    id = world.store.create_instance({"instanceName": "Bistro_01", "integration": "EVOLUTION"})["instance"][
        "instanceId"
    ]
    account = world.store.create_credentials(id, {"name": "by hand", "apiKey": "sk-1"})["id"]
    body = {"enabled": True, "openaiCredsId": account, "botType": "assistant", "assistantId": "asst_1",
            "model": "gpt-4o", "maxTokens": 1000, "triggerType": "all", "description": "Mine"}  # fmt: skip
    world.store.create_bot(id, body)
    plan = await world.plan(desired(bistro(), main(), settings(), bot("one")))
    assert [(one.kind, one.label) for one in plan.foreign] == [("Bot", "Mine"), ("Credentials", "by hand")]
    assert plan.faults == ()  # an assistant holds no pair of model and maxTokens
    clash = await world.plan(desired(bistro(), main(), settings(), bot("one", triggerType="all")))
    assert ["mark lost: Bot 'Mine' of Bistro_01" in one.reason for one in clash.faults] == [True]


async def test_what_is_not_foreseen_is_not_hidden() -> None:
    world = World()
    await applied(world, desired(bistro(), main(), settings(), bot("one")))

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    call, world.target._call = world.target._call, broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a bug"):
        await world.target._part({"name": "Bistro_01", "id": "1"})
    world.target._call = call  # type: ignore[method-assign]


async def test_an_instance_is_deleted_and_one_that_is_gone_too() -> None:
    world = World()
    await applied(world, desired(bistro()))
    (step,) = order(await world.plan(desired(bistro(), main())))
    gone = msgspec.structs.replace(step, action="delete", ref=Ref("Instance", "bistro", "bistro"))
    for _ in range(2):
        assert await world.target.perform(gone, {}) is None
    assert world.store.instances == {}


async def test_a_part_of_a_plan_never_takes_an_account_from_bots_outside_it() -> None:
    from reconciler.plan.narrow import narrow

    world = World()
    old = Secret("sk-0123456789abcdef")

    def fleet(key: Secret) -> Desired:
        account = declared("Credentials", "main", "clinic", apiKey=key)
        one = declared("Bot", "one", "clinic", **keyword("one"))
        return desired(bistro(), main(apiKey=key), settings(), bot("one"), *clinic(account, one))

    await applied(world, fleet(old))
    find = world.store.find_credentials
    # Also where the server would not say who uses a row.
    world.store.find_credentials = lambda i: [{**row, "OpenaiAssistant": []} for row in find(i)]  # type: ignore[method-assign]
    whole = await world.plan(fleet(NEW))
    part = narrow(whole, "bistro")
    assert [change.held for change in part.changes if change.action == "delete"] == [
        "Bot 'one' of Clinic, which stays as it is, still uses it"
    ]
    assert (await world.apply(part)).complete
    gone = next(step for step in order(whole) if step.action == "delete")
    with pytest.raises(Rejected, match="1 bots still use it, and that server would delete them with it"):
        await world.target.perform(gone, {})
    assert len(world.store.bots) == 2
    await applied(world, fleet(NEW))
    assert len(world.store.bots) == 2
