"""The service levels that a scenario states: outside them a run is red, or proves nothing."""

import attrs

__all__ = ["Levels"]


@attrs.frozen(kw_only=True)
class Levels:
    """The service levels a scenario states; a run outside them is a violation.

    Attributes:
        rate_min: requests per second offered, below which a run is invalid.
        busy_share_min: share of all slots' time in use, below which a run is invalid.
        kinds_min: kinds of fault, below which a run is invalid.
        requests_min: requests offered, below which a run is invalid.
        recover_max_s: how long any fault's recovery may take on any machine.
        has_goals: recoveries are held to their kinds' goals too, where no process waited for a core
            meanwhile.
        failed_max: how many requests of surviving front-ends may fail, None for what the kinds
            of the run's faults allow.
        ok_share_min: least share of all requests that got their replica's answer. Every scenario
            owes one: each fault excuses what fails beside it, so a system that answers next to
            nothing from the first fault to the last would break no other rule.
        descriptors_growth: how many more descriptors a process may hold after than before, and a
            worker one idle connection for every slot besides, which is what pools keep. Runs had
            one more in supervisors, and fewer in workers.
        tasks_growth: how many more Trio tasks: offices and links move between front-ends.
        memory_growth: by which share more memory; a soak owes less, over longer. Valid runs had
            0.13; what waited on a machine too busy leaves more, and is not judged.
        overtaking_max_s: by how much a later request may begin before an earlier one that waits,
            None where the load cannot show it.
        memory_slope_max, descriptors_slope_max: by how much a process may grow in an hour, bytes
            and number, in runs long enough to tell. Descriptors come and go with requests: of them
            counts what the slope is at least, its standard error considered.
        office_gap_p99_max_s: for how long nobody may coordinate after a coordinator is lost, at the
            99th percentile of the losses in which no process waited for a core; None where faults
            end coordinators in ways that are noticed more slowly, or none.
        starved_share_max: a run whose processes waited for a core for more of the time is invalid.
            Runs on machines that others used too had 0.01 to 0.09.
    """

    rate_min: float = 200.0
    busy_share_min: float = 0.0
    kinds_min: int = 1
    requests_min: int = 0
    recover_max_s: float = 30.0
    has_goals: bool = False
    failed_max: int | None = None
    ok_share_min: float = 0.0
    descriptors_growth: int = 6
    tasks_growth: int = 6
    memory_growth: float = 0.3
    overtaking_max_s: float | None = None
    office_gap_p99_max_s: float | None = None
    starved_share_max: float = 0.15
    memory_slope_max: float | None = None
    descriptors_slope_max: float | None = None
