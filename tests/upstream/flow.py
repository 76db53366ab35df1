"""How an answer goes out: as a whole or as a stream, held up at its gate, broken where it is meant to break."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from .calls import Call, words
from .dialects import StreamDialect
from .requests import read_path

if TYPE_CHECKING:
    from .answers import Gate
    from .books import Exchange
    from .calls import Piece
    from .dialects import Dialect
    from .replies import Reply
    from .stage import Upstream

__all__ = ["carry_out"]

_MODELS: Final = {"object": "list", "data": [{"id": "gpt-4", "object": "model", "created": 1, "owned_by": "us"}]}


async def carry_out(upstream: Upstream, exchange: Exchange, reply: Reply, left: asyncio.Task[None]) -> None:
    request = read_path(exchange.path, exchange.body)
    if request is None:
        await _other(upstream, exchange, reply)
        return
    upstream.receive(exchange)
    answer = upstream.next_answer(request.model)
    exchange.status = answer.status
    if answer.status != 200:
        headers = {} if answer.retry_after is None else {"retry-after": answer.retry_after}
        exchange.end("refused")
        await reply.whole(answer.status, request.dialect.refusal(answer.status), headers)
        return
    call = Call(exchange.body, answer, request.model)
    exchange.produced = call.produced
    if not request.is_stream:
        await _whole(request.dialect, call, exchange, reply, left)
        return
    if not isinstance(request.dialect, StreamDialect):
        raise TypeError(f"{exchange.path} has no streams here.")
    await _stream(request.dialect, call, exchange, reply, left)


async def _other(upstream: Upstream, exchange: Exchange, reply: Reply) -> None:
    """What costs nothing: lists of models, counted tokens, and what is not known."""
    upstream.receive(exchange)
    exchange.status = 200
    exchange.end("complete")
    if exchange.path.endswith("/models"):
        await reply.whole(200, _MODELS)
    elif exchange.path.endswith("/count_tokens"):
        await reply.whole(200, {"input_tokens": words(exchange.body)})
    else:
        exchange.status = 404
        await reply.whole(404, {"error": {"message": f"No such path: {exchange.path}", "type": "not_found_error"}})


async def _whole(dialect: Dialect, call: Call, exchange: Exchange, reply: Reply, left: asyncio.Task[None]) -> None:
    answer = call.answer
    dialect.produce(call)
    if answer.gate is not None and await _is_left_at(answer.gate, left):
        exchange.end("left")
        return
    body = dialect.whole(call)
    match answer.breaks and answer.breaks.how:
        case None | "failed":
            exchange.end("complete")
            await reply.whole(200, body)
        case "error":
            exchange.end("broken")
            await reply.whole(500, dialect.refusal(500))
        case "malformed":
            exchange.end("broken")
            await reply.text(200, json.dumps(body)[:-9].encode())
        case "cut":
            exchange.end("broken")
            await reply.half(json.dumps(body).encode())


async def _stream(
    dialect: StreamDialect, call: Call, exchange: Exchange, reply: Reply, left: asyncio.Task[None]
) -> None:
    breaks, gate = call.answer.breaks, call.answer.gate
    call.begin()
    await reply.begin()
    await reply.events(dialect.opening(call))
    for number, piece in enumerate((*call.pieces, None)):
        if gate is not None and gate.before == number and await _is_left_at(gate, left):
            exchange.end("left")
            return
        await asyncio.sleep(0)  # lets the server see that the client has hung up
        if left.done():
            exchange.end("left")
            return
        if breaks is not None and breaks.after == number:
            await _break(dialect, call, piece, reply)
            exchange.end("broken")
            return
        if piece is not None:
            call.advance()
            await reply.events(dialect.piece(call, piece))
    await reply.events(dialect.closing(call))
    exchange.end("complete")
    await reply.end()


async def _break(dialect: StreamDialect, call: Call, piece: Piece | None, reply: Reply) -> None:
    match call.answer.breaks and call.answer.breaks.how:
        case "error":
            await reply.events(dialect.failing(call))
            await reply.end()
        case "failed":
            await reply.events(dialect.closing(call))
            await reply.end()
        case "malformed":
            whole = next(dialect.closing(call) if piece is None else dialect.piece(call, piece))
            await reply.events(iter([whole[:-9] + b"\n\n"]))
            await reply.end()
        case _:
            pass  # a reply that does not end is cut off


async def _is_left_at(gate: Gate, left: asyncio.Task[None]) -> bool:
    """Wait at a gate. Return whether the client left before it was opened."""
    gate.reached.set()
    opened = asyncio.wrap_future(gate.opened)
    await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
    return not opened.done()
