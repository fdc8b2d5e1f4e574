"""A child process that accepts and answers messages until it is killed: `python -m tests.runtime.kill_child DB FIRST`.

It prints the id of each message once `accept` has answered; ten chats, a message every few milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path

from reconciler.llm.answer import Answer
from reconciler.model import Heard
from reconciler.runtime.notices import Notices
from reconciler.runtime.turns import Engine
from reconciler.store.chats import Chats
from reconciler.store.db import Database
from tests.store.standing import Lines, migrate
from tests.talk.rows import everyone, line

MOST = 4000  # messages; the load ends by itself


class Echo:
    async def answer(self, account, request) -> Answer:
        await asyncio.sleep(0.005)
        return Answer(request.messages[-1].text)


async def main(path: Path, first: int, load: bool) -> None:
    import time

    db = Database(path, migrate)
    chats, lines = Chats(db), Lines(db)
    await lines.put(line(everyone(debounce_time=20, delay_message=10)))
    engine = Engine(lines, chats, Echo(), Notices(), fresh=lambda: uuid.uuid4().hex, lease=5)
    running = asyncio.create_task(engine.run())
    if load:
        for n in range(first, first + MOST):
            message = Heard(
                id=f"m{n}", instance_id="inst", jid=f"c{n % 10}", from_me=False, push_name=None, kind="c",
                text=f"<{n}>", at=time.time(),
            )  # fmt: skip
            await chats.accept([message, message])
            engine.wake()
            print(n, flush=True)
            await asyncio.sleep(0.002)
    else:
        await asyncio.to_thread(sys.stdin.read)
    await engine.stop(5)
    await running
    db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "load"))
