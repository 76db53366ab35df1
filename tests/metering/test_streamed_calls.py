"""A metered call that streams: it is booked however its stream ends."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.metering.calls import MeteredCall, Request
from coreason_budget.metering.current import Payer
from coreason_budget.metering.sending import StreamedCall, sent
from coreason_budget.metering.streams import AsyncChunks
from coreason_budget.models import SpendRecord

from .caller import PROMPT, USAGE, Caller, Provider, chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget import BudgetManager

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stream_is_booked_at_its_end_and_hides_what_only_we_asked_for(caller: Caller, figures: Any) -> None:
    stream = caller(Provider(iter([chunk("for"), chunk("ty two"), chunk(usage=USAGE)])))

    assert [one["choices"][0]["delta"]["content"] for one in caller.read(stream)] == ["for", "ty two"]

    assert figures() == ("0.00075", "0")


def test_a_stream_that_is_closed_is_booked_as_far_as_it_came(caller: Caller, figures: Any) -> None:
    stream = caller(Provider(iter([chunk("forty two " * 20), chunk("never read"), chunk(usage=USAGE)])))
    caller.read(stream, 1)

    caller.close(stream)
    caller.close(stream)

    record = SpendRecord.objects.get()
    assert record.output_tokens is not None
    assert 35 < record.output_tokens < 60
    assert figures()[1] == "0"


def breaking(error: BaseException, *before: Any) -> Iterator[Any]:
    yield from before
    raise error


def test_a_stream_that_breaks_is_booked_as_far_as_it_came(caller: Caller, figures: Any) -> None:
    stream = caller(Provider(breaking(ConnectionError("cut"), chunk("forty two"))))

    with pytest.raises(ConnectionError, match="cut"):
        caller.read(stream)

    assert SpendRecord.objects.get().output_tokens == 3
    assert figures()[1] == "0"


def test_a_stream_that_breaks_before_its_first_chunk_costs_nothing(caller: Caller, figures: Any) -> None:
    stream = caller(Provider(breaking(ConnectionError("cut"))))

    with pytest.raises(ConnectionError, match="cut"):
        caller.read(stream)

    assert figures() == ("0", "0")


def test_a_stream_that_is_thrown_away_is_booked_and_told_of(
    caller: Caller, figures: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stream = caller(Provider(iter([chunk("forty two"), chunk("never read")])))
    caller.read(stream, 1)

    del stream
    gc.collect()

    assert figures()[1] == "0"
    assert SpendRecord.objects.get().output_tokens == 3
    assert "A stream of gpt-4o was thrown away before its end" in caplog.text


def test_a_stream_whose_reader_is_cancelled_is_booked(budget: BudgetManager) -> None:
    waiting = asyncio.Event()

    async def chunks() -> Any:
        yield chunk("forty two")
        waiting.set()
        await asyncio.Event().wait()

    async def main() -> None:
        call = MeteredCall(budget, Payer("ann"), Request(("gpt-4o",), PROMPT))

        async def send(_: int | None) -> Any:
            return chunks()

        stream = await budget.adrive(sent(call, send, lambda answer, call: AsyncChunks(answer, StreamedCall(call))))

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    budget.flush(10)
    assert SpendRecord.objects.get().output_tokens == 3
    assert budget.status("ann")[0].held == 0
