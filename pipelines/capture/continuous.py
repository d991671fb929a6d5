"""Looking at every source again and again, each at its own pace: a slow one keeps no other waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.capture.capturer import Captured, Capturer

WORKERS = 8


@dataclass(slots=True)
class ContinuousCapture:
    """Looks at each source every `interval` seconds, or as soon as its last look ended; `say` is told what came."""

    capturer: Capturer
    interval: float
    say: Callable[[Captured], None]
    _looking: dict[int, Future[Captured]] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. What a look raised that is not about its source ends this, and is raised."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="capture") as pool:
            try:
                while not stop.is_set():
                    self._take_ended()
                    for source_id in self.capturer.source_ids():
                        if source_id not in self._looking:
                            self._looking[source_id] = pool.submit(self.capturer.catch_up, source_id)
                    stop.wait(self.interval)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        self._take_ended()

    def _take_ended(self) -> None:
        for source_id, look in list(self._looking.items()):
            if look.done():
                del self._looking[source_id]
                if not look.cancelled():
                    self.say(look.result())
