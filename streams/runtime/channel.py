"""Where frames enter Faust: an agent's channel, and the loop that tells when its body is done with a frame."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.channels import Channel
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.runtime.frame import Frame
from streams.runtime.partition import Delivery

Body = Callable[["Frames"], Awaitable[None]]


class FrameChannel(Channel[Any]):
    """A channel whose queue is outside Faust's flow control, which clears queues in every rebalance."""

    def __init__(self, app: faust.App, queue: Any = None, **options: Any) -> None:
        if queue is None:
            queue = ThrowableQueue(flow_control=FlowControlEvent(initially_suspended=False))
        super().__init__(app, queue=queue, **options)

    def _clone_args(self) -> dict[str, Any]:
        return {**super()._clone_args(), "queue": self._queue}


class Frames:
    """What an agent's function iterates over. Asking for the next frame says that the last one is done."""

    def __init__(self, stream: Any) -> None:
        self._deliveries = stream.__aiter__()
        self._open: Delivery | None = None

    def __aiter__(self) -> "Frames":
        return self

    async def __anext__(self) -> Frame:
        self.settle(None)
        while True:
            delivery: Delivery = await self._deliveries.__anext__()
            if delivery.current:
                delivery.taken = True
                self._open = delivery
                return delivery.frame

    @property
    def busy(self) -> bool:
        return self._open is not None

    def settle(self, error: Exception | None) -> None:
        """Tell the owner of the frame at hand how it ended."""
        delivery, self._open = self._open, None
        if delivery is not None:
            delivery.finish(error)


def register(app: faust.App, channel: FrameChannel, name: str, body: Body) -> None:
    """Make `body` an agent of the app.

    A body that raises over a frame is started again at once, and its frame's owner is told: Faust's own
    supervisor would acknowledge the frame and wait for seconds.
    """

    async def agent(stream: Any) -> None:
        while True:
            frames = Frames(stream)
            try:
                await body(frames)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if not frames.busy:
                    raise
                frames.settle(error)
            else:
                if app.should_stop or stream.should_stop:
                    return
                raise RuntimeError(f"agent {name} left its loop")

    agent.__name__ = agent.__qualname__ = name
    app.agent(channel, name=name)(agent)
