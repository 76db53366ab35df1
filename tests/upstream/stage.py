"""``Upstream``: what a test holds in its hand. It queues answers and reads the books."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from .answers import Answer

if TYPE_CHECKING:
    from .answers import Gate
    from .books import Exchange, Produced

__all__ = ["Upstream"]


class Upstream:
    """
    One test's upstream, under a path of its own, so that no request of another test gets into its books.

        upstream.will(Answer.refused(429), Answer(tokens=Tokens(input=20, cached=8)))
        openai.OpenAI(base_url=upstream.openai_url, api_key="-")
        anthropic.Anthropic(base_url=upstream.url, api_key="-")
        genai.Client(api_key="-", http_options={"base_url": upstream.url})
        litellm.completion("openai/gpt-4", ..., api_base=upstream.openai_url, api_key="-")

    Without an answer in its queue it gives ``default``. Safe to share between threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.openai_url = f"{url}/v1"
        self.default = Answer()
        self.exchanges: list[Exchange] = []
        self.faults: list[Exception] = []
        self._queues: dict[str | None, deque[Answer]] = defaultdict(deque)
        self._gates: set[Gate] = set()
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)

    def will(self, *answers: Answer, model: str | None = None) -> None:
        """Queue answers, one a request; those for a model go before those for any."""
        with self._lock:
            self._queues[model].extend(answers)

    @property
    def produced(self) -> list[Produced]:
        """What was produced so far, by request; requests that were refused are left out."""
        with self._lock:
            return [exchange.produced for exchange in self.exchanges if exchange.produced is not None]

    def exchange(self, number: int = 0, timeout: float = 15) -> Exchange:
        """Return the exchange of a request, counted from 0, once it is over. Raise TimeoutError if it is not."""
        with self._lock:
            if not self._came.wait_for(lambda: len(self.exchanges) > number, timeout):
                raise TimeoutError(f"Request {number} did not come within {timeout} s.")
            found = self.exchanges[number]
        return found.wait(timeout)

    def wait(self, timeout: float = 15) -> None:
        """Wait until every answer so far is over. Raise TimeoutError if one is not."""
        with self._lock:
            exchanges = list(self.exchanges)
        for exchange in exchanges:
            exchange.wait(timeout)

    def close(self) -> None:
        """Open every gate, so that nobody waits for a test that is over."""
        with self._lock:
            gates = list(self._gates)
        for gate in gates:
            gate.open()

    # For the server.

    def receive(self, exchange: Exchange) -> None:
        """Enter a request into the books."""
        with self._lock:
            self.exchanges.append(exchange)
            self._came.notify_all()

    def next_answer(self, model: str) -> Answer:
        """Take the answer that is next for a model."""
        with self._lock:
            queue = self._queues[model] or self._queues[None]
            answer = queue.popleft() if queue else self.default
            if answer.gate is not None:
                self._gates.add(answer.gate)
            return answer
