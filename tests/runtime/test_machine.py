"""A chat under whatever happens, with a standing clock: the promises of docs/conversation.md hold at every step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconciler.llm.answer import Answer, ModelFailed
from tests.conftest import many
from tests.store.standing import Stand
from tests.talk.rows import everyone, keyword

pytestmark = pytest.mark.no_cover  # tracing makes many cases slow; tables cover the code


class Died(BaseException):
    """The process dies in the middle of a turn: nobody gives the chat back."""


JIDS = st.sampled_from(["ana", "bob"])


class Chat(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.stand = Stand(self.folder / "chats.db")
        self.stand.model = self
        self.heard: dict[str, list[str]] = {"ana": [], "bob": []}
        self.consumed: Counter[str] = Counter()
        self.order: dict[str, list[int]] = {"ana": [], "bob": []}
        self.running: Counter[str] = Counter()
        self.number = 0
        self.fail: BaseException | None = None
        self.switch: tuple[str, str] | None = None
        self.silent: dict[str, int] = {}  # chats whose session is over, and how much their bots had said by then

    async def answer(self, account, request) -> Answer:
        """The model: sees what is consumed, in which order, and that no chat has two turns at once."""
        self.running[request.jid] += 1
        assert self.running[request.jid] == 1
        await asyncio.sleep(0)
        if self.switch is not None and self.switch[0] == request.jid:
            await self.stand.chats.set_status("inst", *self.switch, self.stand.now)
            self.silent[request.jid] = len(await self.stand.replies(request.jid))
        self.running[request.jid] -= 1
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        for text in request.messages[-1].text.split("\n"):
            if not text.isdecimal():  # a finish word without a session is a first message like any other
                continue
            self.consumed[text] += 1
            self.order[request.jid].append(int(text))
        return Answer("a:" + request.messages[-1].text.replace("\n", ","))

    def do(self, step):
        return self.loop.run_until_complete(step)

    @initialize()
    def fleet(self):
        self.do(
            self.stand.bots(
                everyone("all", keyword_finish="stop", stop_bot_from_me=True, debounce_time=1000, delay_message=500),
                keyword("equals", "start", "k", keyword_finish="stop", keep_open=True, expire=30),
            )
        )

    @rule(jid=JIDS, twice=st.booleans())
    def customer_writes(self, jid, twice):
        self.number += 1
        text = str(self.number)
        assert self.do(self.stand.hear(text, id=f"m{text}", jid=jid))
        if twice:
            assert not self.do(self.stand.hear(text, id=f"m{text}", jid=jid))
        self.heard[jid].append(text)
        self.silent.pop(jid, None)

    @rule(jid=JIDS)
    def customer_finishes(self, jid):
        self.silent.pop(jid, None)
        self.do(self.stand.hear("stop", jid=jid))
        self.do(self.stand.work())
        session = self.do(self.stand.session(jid))
        if session is None or session.status == "closed":
            self.silent[jid] = len(self.do(self.stand.replies(jid)))

    @rule()
    def sessions_that_are_over_are_ended(self):
        self.do(self.stand.engine.expire())

    @rule(jid=JIDS)
    def human_writes(self, jid):
        self.do(self.stand.hear("human", jid=jid, from_me=True, send=True))
        self.do(self.stand.work())

    @rule(jid=JIDS, status=st.sampled_from(["opened", "paused", "closed", "delete"]))
    def status_is_switched(self, jid, status):
        self.do(self.stand.work())
        self.do(self.stand.chats.set_status("inst", jid, status, self.stand.now))
        self.silent.pop(jid, None)

    @rule(jid=JIDS, status=st.sampled_from(["paused", "closed", "delete"]))
    def status_is_switched_while_the_model_thinks(self, jid, status):
        async def switched():
            self.switch = (jid, status)
            await self.stand.work()
            self.switch = None

        self.do(switched())

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0]))
    def time_passes(self, seconds):
        self.stand.now += seconds
        self.do(self.stand.work())

    @rule(error=st.sampled_from([ModelFailed("no"), RuntimeError("bug"), Died()]))
    def model_fails_once(self, error):
        self.fail = error

    @rule()
    def worker_dies_with_a_claim(self):
        self.do(self.stand.chats.claim(self.stand.now, 10, 3))

    @rule()
    def restart(self):
        self.do(self.stand.chats.take_over())
        self.stand.engine = self.stand.new_engine()

    @invariant()
    def nothing_is_consumed_twice(self):
        assert not [text for text, count in self.consumed.items() if count > 1]

    @invariant()
    def order_is_kept(self):
        for jid, numbers in self.order.items():
            assert numbers == sorted(numbers)
            replies = self.do(self.stand.replies(jid))
            said = [int(n) for reply in replies for n in reply.removeprefix("a:").split(",") if n.isdecimal()]
            assert said == sorted(set(said))

    @invariant()
    def a_session_that_is_over_never_speaks(self):
        for jid, said in self.silent.items():
            assert len(self.do(self.stand.replies(jid))) == said

    @invariant()
    def paused_says_nothing(self):
        for jid in ("ana", "bob"):
            session = self.do(self.stand.session(jid))
            if session is not None and session.status == "paused":
                left = self.do(
                    self.stand.db.read(
                        lambda c, jid=jid: c.execute("SELECT count(*) FROM outbox WHERE jid = ?", (jid,)).fetchone()[0]
                    )
                )
                assert left == 0

    def teardown(self):
        self.fail = None
        self.do(self.stand.chats.take_over())
        for _ in range(6):
            self.stand.now += 4
            self.do(self.stand.work())
        left = self.do(
            self.stand.db.read(lambda c: c.execute("SELECT count(*) FROM messages WHERE state < 2").fetchone()[0])
        )
        assert left == 0, "a message was never looked at"
        self.stand.close()
        self.loop.close()
        shutil.rmtree(self.folder)


Chat.TestCase.settings = settings(
    max_examples=many(60), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestChat = Chat.TestCase
