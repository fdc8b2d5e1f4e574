"""Rows for the tests of the conversation: a bot and a line with only what a case names."""

from __future__ import annotations

from typing import Any

from reconciler.model import Account, Bot, Instance, Line, Secret, Session, Settings

STAMP = "2026-01-01T00:00:00.000Z"


def bot(id: str = "bot", **fields: Any) -> Bot:
    fields = {
        "enabled": True,
        "bot_type": "chatCompletion",
        "model": "m",
        "max_tokens": 100,
        "trigger_type": "keyword",
        "trigger_operator": "equals",
        "trigger_value": "start",
        "openai_creds_id": "creds",
        "instance_id": "inst",
        "created_at": STAMP,
        "updated_at": STAMP,
        **fields,
    }
    return Bot(id=id, **fields)


def keyword(operator: str, value: str, id: str = "bot", **fields: Any) -> Bot:
    return bot(id, trigger_operator=operator, trigger_value=value, **fields)


def everyone(id: str = "all", **fields: Any) -> Bot:
    return bot(id, trigger_type="all", trigger_operator=None, trigger_value=None, **fields)


def advanced(rule: str, id: str = "bot", **fields: Any) -> Bot:
    return bot(id, trigger_type="advanced", trigger_operator=None, trigger_value=rule, **fields)


def settings(**fields: Any) -> Settings:
    return Settings(id="set", created_at=STAMP, updated_at=STAMP, instance_id="inst", **fields)


def line(*bots: Bot, fallback: str | None = None, base_url: str | None = "builtin:demo", **fields: Any) -> Line:
    instance_fields = fields.pop("instance", {})
    own = settings(openai_id_fallback=fallback, **fields) if fallback or fields else None
    return Line(
        instance=Instance(id="inst", name="Bistro", created_at=STAMP, updated_at=STAMP, **instance_fields),
        settings=own,
        bots=bots,
        accounts={
            "creds": Account(
                id="creds", name="main", api_key=Secret("sk-x"), base_url=base_url, organization=None, project=None
            )
        },
        assistants={},
    )


def session(bot_id: str = "bot", status: Any = "opened", active_at: float = 1000.0, **fields: Any) -> Session:
    return Session(
        id=fields.pop("id", "s1"),
        instance_id="inst",
        jid="ana",
        bot_id=bot_id,
        status=status,
        created_at=fields.pop("created_at", 1000.0),
        active_at=active_at,
        **fields,
    )
