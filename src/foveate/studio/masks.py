"""A thread that derives index masks behind the writing of labels, so that a stroke need not wait for a PNG."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from foveate.errors import FoveateError

log = logging.getLogger("foveate.studio")


class MaskWriter:
    """Derives the masks that are asked for, each once however often it was asked for meanwhile.

    problems: id -> the reason why the last attempt failed.
    """

    def __init__(self, derive: Callable[[str], None]) -> None:
        self._derive = derive
        self._wanted: dict[str, None] = {}  # in the order of asking
        self._changed = threading.Condition()
        self._closing = self._busy = False
        self._thread: threading.Thread | None = None
        self.problems: dict[str, str] = {}

    def start(self, keys: Iterable[str]) -> None:
        """Ask for several masks."""
        for key in keys:
            self.ask(key)

    def ask(self, key: str) -> None:
        """Ask for the mask of an image."""
        with self._changed:
            self._wanted[key] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="masks", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is asked for; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted and not self._busy, timeout)

    def close(self) -> None:
        """Finish what was asked for, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(60.0)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing)
                if not self._wanted:
                    return
                key = next(iter(self._wanted))
                del self._wanted[key]
                self._busy = True
            try:
                self._derive(key)
                self.problems.pop(key, None)
            except FoveateError as error:
                self.problems[key] = str(error)
            except Exception as error:  # the labels are safe; the next writer tries again
                log.exception("the mask of %s", key)
                self.problems[key] = f"{type(error).__name__}: {error}"
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
