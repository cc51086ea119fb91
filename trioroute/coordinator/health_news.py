"""Which changes of replicas' health are worth a record: a few that flap must not fill the ring.

The ring of decisions is bounded for everything together: what happens every half second would
leave nothing of take-overs and fences.
"""

from typing import Final

import attrs

from trioroute.core.health import Health, HealthChange

__all__ = ["HealthNews"]

#: One of which nothing was heard for so long begins anew: its next change is told, seconds.
_CALM_S: Final = 600.0
#: One that was shut again and again is told to be open once it has been for so long, seconds.
_STEADY_S: Final = 10.0


@attrs.define(eq=False)
class _Course:
    """One replica's lately.

    Attributes:
        began_at, shuts: since when it is not calm, and how often it was shut since.
        told: what the newest record says.
        changed_at, reason: of the newest change.
    """

    began_at: float
    shuts: int = 0
    state: Health = Health.OPEN
    told: Health = Health.OPEN
    changed_at: float = 0.0
    reason: str = ""


@attrs.define(eq=False)
class HealthNews:
    """What was told of each replica during one epoch. One owner."""

    _courses: dict[str, _Course] = attrs.field(factory=dict)

    def hear(self, subject: str, change: HealthChange, now: float) -> str:
        """One change; returns the sentence for its record, empty when it is none.

        Told is when a replica is shut for the first, second, fourth, eighth … time, when one that
        is told to be open is shut twice in a row, and when one that was shut once is open again.
        A trial is no news.
        """
        if change.state is Health.PROBATION:
            return ""
        course = self._courses.setdefault(subject, _Course(now))
        if change.state is Health.OPEN:
            is_news = course.shuts <= 1
        else:
            course.shuts += 1
            is_twice = course.state is Health.SHUT and course.told is Health.OPEN
            is_news = is_twice or not course.shuts & (course.shuts - 1)
        course.state, course.changed_at, course.reason = change.state, now, change.reason
        return self._tell(course, change.replica, now) if is_news else ""

    def settle(self, now: float) -> list[tuple[str, str]]:
        """Who has been open for a while and is told to be shut: subjects and sentences."""
        for subject, course in [*self._courses.items()]:
            if now > course.changed_at + _CALM_S:
                del self._courses[subject]
        return [
            (subject, self._tell(course, subject.rpartition("/")[2], now))
            for subject, course in self._courses.items()
            if course.state is Health.OPEN is not course.told
            if now >= course.changed_at + _STEADY_S
        ]

    @staticmethod
    def _tell(course: _Course, replica: str, now: float) -> str:
        course.told = course.state
        often = ""
        if course.shuts > 1:
            often = f" (shut {course.shuts} times in {now - course.began_at:.0f} s)"
        return f"{replica} is {course.state.value}: {course.reason}{often}"
