"""The contract of a chats' store, on SQLite: two processes are two connections to one file."""

from __future__ import annotations

import pytest

from reconciler.store.chats import Chats
from reconciler.store.db import Database
from tests.store.contract import ChatsContract
from tests.store.standing import Lines, migrate
from tests.talk.rows import bot, line


class SQLiteWorld:
    def __init__(self, path) -> None:
        self.path = path
        self.opened = [Database(path, migrate)]
        self.chats = Chats(self.opened[0])

    def another(self) -> Chats:
        self.opened.append(Database(self.path, migrate))
        return Chats(self.opened[-1])


@pytest.fixture
async def world(tmp_path):
    made = SQLiteWorld(tmp_path / "chats.db")
    await Lines(made.opened[0]).put(line(bot("one"), bot("two")))
    yield made
    for db in made.opened:
        db.close()


class TestSQLite(ChatsContract):
    pass
