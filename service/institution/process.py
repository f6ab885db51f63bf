"""An agent that is opened, enrolled and run in a thread of its own, so that its HTTP face answers meanwhile.

A round begins when the operator's event stream says that something was entered, when somebody of the institution asks,
and otherwise after a slow interval. What fails is tried again after ever longer times; what no waiting mends ends the
process (`permanent`).
"""

import logging
import threading
from collections.abc import Callable

from atomic_margin.service.errors import Conflict, NotAdmitted
from atomic_margin.service.institution import disputing
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.backoff import Backoff, Trouble, retry_after
from atomic_margin.service.institution.following import EventFollower
from atomic_margin.service.institution.permanent import advice
from atomic_margin.service.protocol.agent_messages import AgentStatus

NET_SECONDS = 15.0
"""Between two rounds that nothing asked for, while the event stream stands."""
UNFOLLOWED_SECONDS = 5.0
"""The same while it does not."""
SOON_SECONDS = 0.5
"""After a round that left something which no entry will announce; longer each time, up to the interval."""
LEAST_SECONDS = 0.2
"""Between a failure and the next round, whatever happens meanwhile."""

_log = logging.getLogger(__name__)


class AgentProcess:
    """One agent and its thread."""

    def __init__(
        self,
        open_agent: Callable[[Callable[[str], None]], Agent],
        interval: float = NET_SECONDS,
        *,
        follow: bool = False,
        backoff: Backoff | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            open_agent: makes the agent, given where to report its stages.
            interval: seconds between two rounds that nothing asked for.
            follow: read the operator's event stream, and begin a round at each event.
            backoff: how long to wait after a failure.
            on_end: called when the agent ends by itself; `ended` says why.
        """
        self._open, self._interval, self._on_end = open_agent, interval, on_end
        self._backoff = backoff or Backoff()
        self._soon = Backoff(SOON_SECONDS, max(interval, SOON_SECONDS))
        self._trouble = Trouble(_log, "the agent goes on")
        self._stop, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="agent", daemon=True)
        self._follows = follow
        self._follower: EventFollower | None = None
        self._opened: Agent | None = None
        self._agent: Agent | None = None
        self._reminded: set[str] = set()
        self.stage = "starting"
        self.ended: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong since the last round; None when that went through."""
        return self.ended or self._trouble.shown

    @property
    def following(self) -> bool:
        """Whether the event stream stands."""
        return self._follower is not None and self._follower.connected

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Begin a round now, or right after the one in hand."""
        self._woken.set()

    def stop(self) -> None:
        """End after the call in hand."""
        self._stop.set()
        self._woken.set()
        if self._follower is not None:
            self._follower.stop()
        self._thread.join(timeout=60)
        if self._opened is not None:
            self._opened.close()

    def agent(self) -> Agent:
        """Return the agent once it is enrolled.

        Raises:
            Conflict: it is not, yet.
        """
        if self._agent is None:
            raise Conflict(f"the agent is not enrolled yet ({self.problem or self.stage}); try again shortly", "state")
        return self._agent

    def opened(self) -> Agent:
        """Return the agent once it is open, enrolled or not.

        Raises:
            Conflict: it is not, yet.
        """
        if self._opened is None:
            raise Conflict(f"the agent is not open yet ({self.problem or self.stage}); try again shortly", "state")
        return self._opened

    def status(self) -> AgentStatus:
        """Return what the agent does, and where the account stands."""
        agent = self._agent
        if agent is None:
            return AgentStatus(
                stage=self.stage,
                problem=self.problem,
                enrolled=False,
                alarm=None,
                contradiction=None,
                key_commitments=None,
            )
        now = agent.standing()
        return AgentStatus(
            stage=self.stage,
            problem=self.problem,
            enrolled=True,
            alarm=agent.alarm,
            contradiction=agent.contradiction,
            key_commitments=agent.key_commitments,
            dispute=disputing.shown(agent.history.state),
            following=self.following,
            account=now.account,
            last_run=now.last_run,
            reminders=tuple(one.text for one in now.reminders),
            deal=now.deal,
        )

    def shown(self) -> Agent | None:
        """Return the agent once it is open; for pages, which show what there is."""
        return self._opened

    def _report(self, stage: str) -> None:
        self.stage = stage

    def _work(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            try:
                unfinished = self._round()
            except Exception as error:
                # The agent must go on answering runs whatever one of them does; the cause is shown by /v1/status.
                self.ended = advice(error, self._agent is not None)
                if self.ended is not None:
                    _log.error("the agent ends: %s", self.ended)
                    self._on_end()
                    return
                if isinstance(error, NotAdmitted):
                    self.stage = "waiting for admission"
                self._trouble.failed(error)
                asked = retry_after(error)
                pause = self._backoff.next(asked)
                self._stop.wait(max(LEAST_SECONDS, asked))
                self._woken.wait(max(0.0, pause - asked))
                continue
            self._trouble.passed()
            self._backoff.reset()
            self._woken.wait(self._pause(unfinished))

    def _round(self) -> bool:
        """Do what is due; return whether something is left that no entry will announce."""
        if self._opened is None:
            self._opened = self._open(self._report)
        if self._agent is None:
            self._opened.enrol()
            self._agent = self._opened
        if self._follows and self._follower is None:
            self._follower = EventFollower(self._agent.events, self.wake)
            self._follower.start()
        self._agent.answer_due()
        return self._agent.unfinished()

    def _remind(self) -> float | None:
        """Say what has a date that is near, once; return the seconds until something is next."""
        if self._agent is None:
            return None
        now = self._agent.standing()
        for one in now.reminders:
            if one.key not in self._reminded:
                _log.warning("%s", one.text)
        self._reminded = {one.key for one in now.reminders}
        return now.reminded_in

    def _pause(self, unfinished: bool) -> float:
        """Return how long to wait for the next round, if nothing wakes the agent."""
        reminder = self._remind()
        pause = self._interval if self.following or not self._follows else min(self._interval, UNFOLLOWED_SECONDS)
        if reminder is not None:
            pause = min(pause, reminder)
        if unfinished:
            return min(pause, self._soon.next())
        self._soon.reset()
        return pause
