"""One contract for targets: the model in memory and the real runtime over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.errors import Rejected, Unavailable
from reconciler.live.runtime import Runtime, lower
from reconciler.model import Desired, Mark, Secret
from reconciler.plan.diff import Before, diff
from reconciler.plan.order import Step, order
from reconciler.reconcile.apply import walk
from tests.live.served import KEY, InMemory, runtime, scripted
from tests.plan.fleet import bistro, bot, declared, desired, keyword, main
from tests.plan.target import Model

SECOND = "b" * 40


@pytest.fixture(params=["model", "runtime"])
async def reach(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "model":
        yield InMemory(Model())
        return
    with runtime(tmp_path) as url:
        target = Runtime(url, KEY)
        yield target
        await target.close()


class Silent:
    def started(self, step: Step) -> None: ...

    def ended(self, step: Step, ending: str, message: str) -> None:
        assert ending == "done", f"{step.action} {step.ref}: {message}"


async def reconcile(reach: Any, wanted: Desired) -> int:
    """Applies what differs, then nothing must differ; returns the number of steps."""
    plan = diff(wanted, await reach.read(), target="t")
    assert plan.faults == ()
    steps = order(plan)
    await walk(steps, plan.ids, reach, Silent())
    again = diff(wanted, await reach.read(), target="t")
    assert again.changes == (), again.changes
    return len(steps)


TOOLS = [{"type": "function", "name": "check_table", "parameters": {"type": "object", "properties": {}}}]
FULL = (
    bistro(webhook="https://example.com/replies", retention=86400, number="551199"),
    main(baseUrl="https://llm.example/v1", organization="org", project="proj"),
    declared("Assistant", "concierge", assistantId="asst_1", instructions="Be kind.", model="gpt-4o", temperature=0.3,
             tools=[{"type": "file_search", "vectorStoreIds": ["vs_1"]}], metadata={"a": "b"}),
    declared("Settings", "default", credentials="main", fallbackBot="any", expire=60, keywordFinish="stop",
             unknownMessage="Sorry?", ignoreJids=["@g.us"], speechToText=True),
    bot("any", description="Answers all", triggerType="all"),
    bot("full", botType="assistant", assistantId="asst_1", model=None, maxTokens=None, tools=TOOLS,
        systemMessages=["a\nb", "ç"], assistantMessages=["Hi"], userMessages=["Hello"], temperature=0.5,
        expire=60, keywordFinish="stop", unknownMessage="Sorry?", listeningFromMe=True, stopBotFromMe=True,
        keepOpen=True, debounceTime=0, delayMessage=0, splitMessages=True, timePerChar=5, ignoreJids=["@g.us", "a@x"],
        reasoningEffort="low", **keyword("start")),
)  # fmt: skip


async def test_every_field_comes_back_as_it_was_sent(reach: Any) -> None:
    assert await reconcile(reach, desired(*FULL)) == 7
    assert await reconcile(reach, desired(*FULL)) == 0


async def test_fields_can_be_unset_again(reach: Any) -> None:
    await reconcile(reach, desired(*FULL))
    bare = (
        bistro(), main(), declared("Assistant", "concierge", assistantId="asst_1"),
        declared("Settings", "default", credentials="main"), bot("any"), bot("full", **keyword("start")),
    )  # fmt: skip
    await reconcile(reach, desired(*bare, commit=SECOND))


async def test_triggers_are_swapped_and_bots_replaced(reach: Any) -> None:
    first = (bistro(), main(), bot("a", **keyword("x")), bot("b", **keyword("y")), bot("c", triggerType="all"))
    await reconcile(reach, desired(*first))
    second = (
        bistro(),
        main(),
        bot("a", **keyword("y")),
        bot("b", triggerType="all"),
        bot("c", **keyword("x")),
        bot("d"),
    )
    assert await reconcile(reach, desired(*second, commit=SECOND)) == 5
    third = (bistro(), main(), bot("e", triggerType="all"))
    await reconcile(reach, desired(*third, commit="c" * 40))
    names = {one.mark.name for one in (await reach.read()).objects if one.kind == "Bot"}
    assert names == {"e"}


async def test_credentials_are_renamed_replaced_and_deleted(reach: Any) -> None:
    await reconcile(reach, desired(bistro(), main(), declared("Settings", "default", credentials="main"), bot("a")))
    fresh = declared("Credentials", "fresh", formerly="main", apiKey=Secret("sk-0123456789abcdef"))
    settings = declared("Settings", "default", credentials="fresh")
    await reconcile(reach, desired(bistro(), fresh, settings, bot("a", credentials="fresh"), commit=SECOND))
    other = declared("Credentials", "other", apiKey=Secret("sk-another-0123456789"))
    settings = declared("Settings", "default", credentials="other")
    await reconcile(reach, desired(bistro(), other, settings, bot("a", credentials="other"), commit="c" * 40))
    assert [one.mark.name for one in (await reach.read()).objects if one.kind == "Credentials"] == ["other"]


async def test_an_instance_is_deleted_with_what_it_holds(reach: Any) -> None:
    await reconcile(reach, desired(*FULL))
    other = desired(declared("Instance", "clinic", "clinic", instanceName="Clinic"))
    live = await reach.read()
    plan = diff(other, live, Before(instances={"Bistro_01": "bistro"}), target="t", allow={"delete-instance:bistro"})
    await walk(order(plan), plan.ids, reach, Silent())
    assert [one.instance for one in (await reach.read()).objects] == ["Clinic"]


async def test_an_unchanged_target_is_not_read_again(reach: Any) -> None:
    await reconcile(reach, desired(bistro()))
    live = await reach.read()
    assert await reach.read(live.version) is None
    await reconcile(reach, desired(bistro(), main()))
    assert await reach.read(live.version) is not None


# --- the real runtime alone ----------------------------------------------------------------------------------


def by_hand(url: str) -> Any:
    """An instance, credentials, a bot and Settings that nobody marked; gives the bot's row."""
    import httpx

    with httpx.Client(base_url=url, headers={"apikey": KEY}) as http:
        assert http.post("/instance/create", json={"instanceName": "docs"}).status_code == 201
        creds = http.post("/openai/creds/docs", json={"name": "creds_123", "apiKey": "sk-000000000000"}).json()
        row = {
            "enabled": True,
            "openaiCredsId": creds["id"],
            "botType": "assistant",
            "assistantId": "a",
            "triggerType": "all",
        }
        made = http.post("/openai/create/docs", json=row).json()
        assert http.post("/openai/settings/docs", json={"fallbackId": made["id"]}).status_code in (200, 201)
        return made


async def test_what_others_made_is_lifted_too(tmp_path: Path) -> None:
    with runtime(tmp_path) as url:
        made = by_hand(url)
        target = Runtime(url, KEY, source="acme")
        live = await target.read()
        await target.close()
    assert live is not None
    found = {one.kind: one for one in live.objects}
    assert found["Bot"].spec["credentials"] == "creds_123 (not managed)"
    assert found["Settings"].spec["fallbackBot"] == f"{made['id']} (not managed)"
    assert (found["Bot"].mark, found["Bot"].label) == (None, made["id"])


async def test_deleting_what_is_gone_is_done(tmp_path: Path) -> None:
    with runtime(tmp_path) as url:
        target = Runtime(url, KEY)
        await reconcile(target, desired(bistro(), main(), bot("a")))
        plan = diff(desired(bistro(), main()), await target.read(), target="t")  # type: ignore[arg-type]
        (step,) = order(plan)
        assert await target.perform(step, plan.ids) is None
        assert await target.perform(step, plan.ids) is None
        await target.close()


async def test_a_wrong_key_and_another_server_are_unavailable(tmp_path: Path) -> None:
    with runtime(tmp_path) as url:
        target = Runtime(url, "wrong", key_source="MY_KEY")
        with pytest.raises(Unavailable, match="MY_KEY"):
            await target.read()
        await target.close()
    for answer in ((404, {}, b"{}"), (200, {}, b'{"other":1}'), (200, {}, b"[]")):
        async with scripted(answer) as server:
            target = Runtime(server.url, KEY)
            with pytest.raises(Unavailable, match="no runtime of this project"):
                await target.read()
            await target.close()


async def test_a_delete_that_is_refused_fails() -> None:
    async with scripted((409, {}, b"{}")) as server:
        target = Runtime(server.url, KEY)
        live = diff(desired(bistro()), running_with_bot(), target="t")
        with pytest.raises(Rejected):
            await target.perform(order(live)[0], {})
        await target.close()


def running_with_bot() -> Any:
    from tests.plan.fleet import running

    return running(bistro(), bot("x"))


def test_a_body_has_ids_and_the_mark() -> None:
    (step,) = [
        s
        for s in order(diff(desired(bistro(), main(), bot("x", description="Hello ")), running_with_bot(), target="t"))
        if s.ref.kind == "Bot"
    ]
    step = msgspec.structs.replace(step, values={"credentials": None, "description": "Hello "})
    assert lower(step, {}) == {"openaiCredsId": None, "description": "Hello [gitops x@3f2a91c4]"}
    with pytest.raises(Rejected, match="Credentials bistro/main is not on the target"):
        lower(msgspec.structs.replace(step, values={"credentials": "main"}), {})
    with pytest.raises(Rejected, match="not known here"):
        lower(msgspec.structs.replace(step, values={"apiKey": {"env": "A"}}, mark=Mark("", "x", "0" * 8)), {})


async def test_of_a_fleet_that_is_known_only_what_has_changed_is_read(tmp_path: Path) -> None:
    from tests.evolution.faults import Faults

    answers: list[int] = []

    def wrap(app: Any) -> Any:
        async def counting(scope: Any, receive: Any, send: Any) -> None:
            async def count(message: Any) -> None:
                if scope["path"] == "/fleet" and message["type"] == "http.response.body":
                    answers.append(len(message.get("body", b"")))
                await send(message)

            await app(scope, receive, count if scope["type"] == "http" else send)

        return Faults(counting)

    many = [
        one
        for n in range(20)
        for one in (
            declared("Instance", f"i{n}", f"i{n}", instanceName=f"I{n}"),
            declared("Credentials", "main", f"i{n}", apiKey=Secret("sk-0123456789abcdef")),
            declared("Bot", "b", f"i{n}", systemMessages=["x" * 1000]),
        )
    ]
    with runtime(tmp_path, wrap=wrap) as url:
        known, fresh = Runtime(url, KEY), Runtime(url, KEY)
        await reconcile(known, desired(*many))
        answers.clear()
        many[2] = declared("Bot", "b", "i0", systemMessages=["y"])
        await reconcile(known, desired(*many, commit=SECOND))
        assert max(answers) < 4000  # one instance and the tags of the others
        whole = await fresh.read()
        parts = await known.read()
        assert whole is not None
        assert parts is not None
        assert sorted(parts.objects, key=lambda one: one.id) == sorted(whole.objects, key=lambda one: one.id)
        assert max(answers) > 20_000
        known._parts.pop(next(iter(known._parts)))  # as if the target named a state that was never seen
        again = await known.read()
        assert again is not None
        assert again.objects == whole.objects
        await known.close()
        await fresh.close()


async def test_what_the_runtime_refuses_takes_nothing_else_of_its_instance_along(tmp_path: Path) -> None:
    from tests.reconcile.test_apply import Journal

    objects = (
        bistro(),
        main(),
        declared("Settings", "default", credentials="main", fallbackBot="bad"),
        bot("bad", functionUrl="http://10.0.0.1/hook"),
        bot("good", **keyword("x")),
    )
    with runtime(tmp_path) as url:
        target = Runtime(url, KEY)
        live = await target.read()
        assert live is not None
        plan = diff(desired(*objects), live, target="t")
        steps = order(plan)
        walked = await walk(steps, plan.ids, target, Journal())
        ended = {f"{step.ref.name} {step.note}".strip(): walked.endings[step.index] for step in steps}
        messages = {steps[index].ref.name: text for index, text in walked.messages.items()}
        assert ended == {
            "bistro": "done", "main": "done", "good": "done", "default": "done", "bad": "failed",
            "default fallback bot bad": "skipped",
        }  # fmt: skip
        assert messages["bad"].startswith("422: ")
        assert "functionUrl" in messages["bad"]
        assert messages["default"] == "skipped because create Bot bistro/bad failed"
        await reconcile(target, desired(*objects[:2], declared("Settings", "default", credentials="main"), objects[4]))
        await target.close()
