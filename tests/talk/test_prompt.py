"""What a model is asked and how its answer is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Assistant, Heard, Spoken
from reconciler.talk.effective import effective, ignores
from reconciler.talk.prompt import HISTORY, Content, Part, compose, delay, fitted, parts, split, turn_text
from tests.talk.rows import STAMP, bot, everyone, line, session, settings


def heard(text, id="m1"):
    return Heard(id=id, instance_id="inst", jid="ana", from_me=False, push_name="Ana", kind="c", text=text, at=1.0)


def said(request):
    return [(each.role, each.text) for each in request.messages]


def test_values_come_from_bot_then_settings_then_defaults():
    own = effective(everyone(expire=5, ignore_jids=("a",)), settings(expire=9, delay_message=7, ignore_jids=("b",)))
    assert (own.expire, own.delay_message, own.debounce_time) == (5, 7, 1000)
    assert own.ignore_jids == {"a", "b"}
    assert effective(None, None).keyword_finish is None
    assert effective(everyone(keep_open=False), settings(keep_open=True)).keep_open is False


@pytest.mark.parametrize(
    ("ignored", "jid", "held"),
    [
        ({"1@s.whatsapp.net"}, "1@s.whatsapp.net", True),
        ({"1@s.whatsapp.net"}, "11@s.whatsapp.net", False),
        ({"@g.us"}, "1@g.us", True),
        ({"@s.whatsapp.net"}, "1@g.us", False),
        ({"@example.com"}, "1@example.com", False),
    ],
)
def test_ignored_chats(ignored, jid, held):
    assert ignores(frozenset(ignored), jid) is held


def test_chat_completion_order():
    one = bot(system_messages=("S1", "S2"), assistant_messages=("A",), user_messages=("U",), tools=({"type": "x"},))
    history = (Spoken("user", "before"), Spoken("assistant", "answer"))
    request = compose(
        line(one), one, session(history=history, push_name="Ana"), [heard("a"), heard(None), heard("b", "m2")]
    )
    assert said(request) == [
        ("system", "S1"),
        ("system", "S2"),
        ("assistant", "A"),
        ("user", "U"),
        ("user", "before"),
        ("assistant", "answer"),
        ("user", "a\nb"),
    ]
    assert (request.api, request.max_tokens, request.instructions) == ("chat", 100, None)
    assert (request.key, request.jid, request.push_name) == ("s1:m1", "ana", "Ana")


def test_assistant_takes_what_is_declared_and_the_bots_own_wins():
    tool = {"type": "function", "name": "f", "description": "assistant's"}
    own_tool = {"type": "function", "name": "f", "description": "bot's"}
    assistant = Assistant(
        id="a", assistant_id="asst", instructions="I", model="am", temperature=0.3, reasoning_effort="low",
        tools=(tool, {"type": "web_search"}), metadata={"k": "v"},
        instance_id="inst", created_at=STAMP, updated_at=STAMP,
    )  # fmt: skip
    fields = {"bot_type": "assistant", "assistant_id": "asst", "system_messages": ("S",), "model": None}
    one = bot(**fields, user_messages=("not sent",))
    fleet = line(one)
    fleet = type(fleet)(
        **{**{f: getattr(fleet, f) for f in fleet.__struct_fields__}, "assistants": {"asst": assistant}}
    )
    request = compose(fleet, one, session(), [heard("hi")])
    assert (request.api, request.model, request.instructions) == ("responses", "am", "I\n\nS")
    assert (request.temperature, request.reasoning_effort) == (0.3, "low")
    assert request.metadata == {"k": "v"}
    assert said(request) == [("user", "hi")]
    assert request.tools == (tool, {"type": "web_search"})
    own = bot(**{**fields, "model": "bm"}, temperature=0.0, tools=(own_tool,))
    request = compose(fleet, own, session(), [heard("hi")])
    assert (request.model, request.temperature) == ("bm", 0.0)
    assert request.tools == (own_tool, {"type": "web_search"})
    alone = compose(line(one), one, session(), [heard("hi")])
    assert (alone.model, alone.instructions, alone.tools) == (None, "S", ())


def composed(history, **fields):
    one = bot(system_messages=("S",))
    return compose(line(one), one, session(history=tuple(history)), [heard("now")], **fields)


def test_history_is_bounded_by_number():
    request = composed(Spoken("user", str(n)) for n in range(30))
    assert [text for _, text in said(request)] == ["S", *(str(n) for n in range(30 - HISTORY, 30)), "now"]
    assert request.history == HISTORY
    assert fitted(request) is request


LONG = [Spoken("user", "x" * 20_000), Spoken("user", "y" * 12_000), Spoken("user", "z")]


@pytest.mark.parametrize(
    ("case", "ratio", "kept"),
    [("as estimated", 1.0, "yz"), ("the model counts less", 0.5, "xyz"), ("the model counts more", 3.0, "z")],
)
def test_history_is_bounded_by_tokens_as_the_model_counts_them(case, ratio, kept):
    request = fitted(composed(LONG), ratio)
    assert [text[0] for _, text in said(request)] == ["S", *kept, "n"]
    assert request.history == len(kept)
    assert fitted(request, ratio) is request


def test_a_turn_is_asked_however_long_it_is():
    one = bot()
    request = compose(line(one), one, session(), [heard("x" * 100_000)])
    assert fitted(request) is request
    assert request.estimate > 30_000


def test_images_are_asked_and_remembered_by_a_word():
    content = Content("what is this?", ("https://x/1.jpg", "data:image/png;base64,AA=="))
    last = composed((), content=content).messages[-1]
    assert (last.text, last.images) == (content.text, content.images)
    assert content.remembered == "[image]\n[image]\nwhat is this?"
    assert Content("", ("https://x/1.jpg",)).remembered == "[image]"


def test_turn_text():
    assert turn_text([heard("a"), heard(None), heard("  "), heard("b")]) == "a\nb"
    assert turn_text([heard(None)]) == ""


@pytest.mark.parametrize(
    ("case", "text", "expected"),
    [
        ("one part", "a\nb", ["a\nb"]),
        ("blank lines", "a\n\nb\n \n\nc", ["a", "b", "c"]),
        ("nothing", " \n\n", []),
        ("code keeps its blank lines", "a\n\n```py\nx\n\ny\n```\n\nb", ["a", "```py\nx\n\ny\n```", "b"]),
        ("tildes", "~~~\nx\n\n```\n\ny\n~~~\n\nb", ["~~~\nx\n\n```\n\ny\n~~~", "b"]),
        ("a longer fence closes", "```\nx\n\n````\n\nb", ["```\nx\n\n````", "b"]),
        ("a fence with words does not close", "```\nx\n\n```py\n\nb", ["```\nx\n\n```py\n\nb"]),
        ("indented by four is no fence", "    ```\n\nb", ["    ```", "b"]),
    ],
)
def test_split(case, text, expected):
    assert split(text) == expected


@given(st.text("a`~ \n", max_size=40))
def test_splitting_loses_no_text(text):
    assert "".join("".join(split(text)).split()) == "".join(text.split())


def test_parts_and_delays():
    whole = effective(everyone(delay_message=500, time_per_char=10), None)
    assert parts(" ab\n\ncd ", whole) == (Part("ab\n\ncd", 0.56),)
    split_up = effective(everyone(delay_message=500, time_per_char=10, split_messages=True), None)
    assert parts("ab\n\ncd", split_up) == (Part("ab", 0.52), Part("cd", 0.52))
    assert parts("  ", whole) == ()
    assert delay("x" * 10_000, whole) == 20.5
