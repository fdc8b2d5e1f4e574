"""What is told to stop lets what is under way end, once."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from reconciler.cli.site import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_stops_and_the_second_ends(number: signal.Signals) -> None:
    kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    stop = asyncio.Event()
    try:
        stop_on_signals(stop)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 120)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)
