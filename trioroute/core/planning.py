"""How many replicas a load needs: the published formula, and the waiting it leaves out.

Azure's documents give `ceil(rps * request time / target / concurrency)` (`azure-reference.md`,
row 4.7). It says nothing about how long requests wait, and Azure gives up on a request after
`max_queue_wait_ms`. The wait is estimated here as an M/M/c queue: Poisson arrivals, exponential
service times, c slots, one queue (Erlang C). Real service times vary less, so real waits are
shorter; bursts make them longer.
"""

import math
from typing import Final

import attrs

__all__ = [
    "Carried",
    "Load",
    "Plan",
    "carried_by",
    "erlang_c",
    "front_ends_for",
    "mean_wait_s",
    "plan_replicas",
    "wait_exceeds",
    "wait_quantile_s",
]

#: A size beyond what one deployment can have; also bounds the search.
SLOTS_MAX: Final = 100_000
#: The share that a 99th percentile leaves above it.
_ABOVE_P99: Final = 0.01
#: Fewer cannot lose one and still have a majority.
_FRONT_ENDS_MIN: Final = 3
_HALVINGS: Final = 40


@attrs.frozen(kw_only=True)
class Load:
    """What is expected of a deployment.

    Attributes:
        requests_per_s: arrival rate.
        service_s: mean time a replica works on one request.
        slots_per_replica: requests that one replica works on at the same time.
        queue_wait_max_s: after which a request gets 503.
        shed_max: share of the requests that may get it.
        p99_wait_max_s: 99 of 100 requests wait no longer; None: no such limit.
        target_utilization: share of the slots that should be busy, 0 < t ≤ 1.
        spike: the highest load as a multiple of `requests_per_s`.
        cold_start_s: from the decision to start a replica until it is ready.
    """

    requests_per_s: float
    service_s: float
    slots_per_replica: int = 1
    queue_wait_max_s: float = 0.5
    shed_max: float = 0.001
    p99_wait_max_s: float | None = None
    target_utilization: float = 0.7
    spike: float = 1.0
    cold_start_s: float = 30.0

    @property
    def offered(self) -> float:
        """Mean number of requests in service: the load in erlangs (Little's law)."""
        return self.requests_per_s * self.service_s


@attrs.frozen(kw_only=True)
class Plan:
    """The answer.

    Attributes:
        formula_replicas: what the published formula says.
        replicas: what the waiting limit needs as well; never fewer.
        spike_replicas: the same for the highest load.
        wait_probability: that a request finds all slots busy, with `replicas`.
        mean_wait_s: over all requests, with `replicas`.
        p99_wait_s: 99 of 100 requests wait no longer, with `replicas`.
        formula_wait_probability, formula_mean_wait_s, formula_p99_wait_s: the same with
            `formula_replicas`; infinite where those cannot keep up.
        shed: share of requests that would wait longer than allowed, with `replicas`.
        formula_shed: the same with `formula_replicas`.
        utilization: busy share of the slots, with `replicas`.
        spike_backlog: requests that a sudden spike piles up or sheds until new replicas are ready.
    """

    formula_replicas: int
    replicas: int
    spike_replicas: int
    wait_probability: float
    mean_wait_s: float
    p99_wait_s: float
    formula_wait_probability: float
    formula_mean_wait_s: float
    formula_p99_wait_s: float
    shed: float
    formula_shed: float
    utilization: float
    spike_backlog: float


def erlang_c(slots: int, offered: float) -> float:
    """Probability that an arrival has to wait (Erlang C).

    Args:
        slots: servers, at least 1.
        offered: load in erlangs; at `slots` or above the queue grows without end.
    """
    if offered >= slots:
        return 1.0
    if offered <= 0:
        return 0.0
    # Erlang B by its recursion, which neither overflows nor loses digits.
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1.0 - (offered / slots) * (1.0 - blocked))


def mean_wait_s(slots: int, offered: float, service_s: float) -> float:
    """Mean wait of all requests in seconds, infinite when the load is too high."""
    if offered >= slots:
        return math.inf
    return erlang_c(slots, offered) * service_s / (slots - offered)


def wait_exceeds(slots: int, offered: float, service_s: float, limit_s: float) -> float:
    """Probability that a request waits longer than `limit_s` seconds."""
    if offered >= slots:
        return 1.0
    return erlang_c(slots, offered) * math.exp(-(slots - offered) * limit_s / service_s)


def wait_quantile_s(slots: int, offered: float, service_s: float, above: float) -> float:
    """What a share `above` of the requests waits longer than, seconds; infinite if overloaded."""
    if offered >= slots:
        return math.inf
    waiting = erlang_c(slots, offered)
    if waiting <= above:
        return 0.0
    return math.log(waiting / above) * service_s / (slots - offered)


@attrs.frozen(kw_only=True)
class Carried:
    """What a number of replicas carries, requests per second.

    Attributes:
        formula_per_s: the published formula turned round.
        requests_per_s: the most that keeps the limits on waiting and 503 too; never more.
        wait_probability, mean_wait_s, p99_wait_s, shed: at `requests_per_s`.
        formula_shed, formula_p99_wait_s: at `formula_per_s`.
    """

    formula_per_s: float
    requests_per_s: float
    wait_probability: float
    mean_wait_s: float
    p99_wait_s: float
    shed: float
    formula_shed: float
    formula_p99_wait_s: float


def carried_by(replicas: int, load: Load) -> Carried:
    """The other way round: what so many replicas carry.

    Args:
        load: its limits and times; its own `requests_per_s` says nothing here.

    Raises:
        ValueError: as `plan_replicas`.
    """
    _check(attrs.evolve(load, requests_per_s=1.0))
    slots = replicas * load.slots_per_replica
    if not 1 <= slots <= SLOTS_MAX:
        raise ValueError(f"replicas have 1 to {SLOTS_MAX:,} slots together")
    most = slots * load.target_utilization
    low, high = 0.0, most
    if _is_enough(load, replicas, most):
        low = most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _is_enough(load, replicas, middle) else (low, middle)
    return Carried(
        formula_per_s=most / load.service_s,
        requests_per_s=low / load.service_s,
        wait_probability=erlang_c(slots, low),
        mean_wait_s=mean_wait_s(slots, low, load.service_s),
        p99_wait_s=wait_quantile_s(slots, low, load.service_s, _ABOVE_P99),
        shed=_shed(load, replicas, low),
        formula_shed=_shed(load, replicas, most),
        formula_p99_wait_s=wait_quantile_s(slots, most, load.service_s, _ABOVE_P99),
    )


def front_ends_for(requests_per_s: float, each_per_s: float) -> int:
    """How many front-ends carry a load while one of them is down: odd, and at least three.

    Args:
        each_per_s: requests per second that one carries, as measured on such a machine.

    Raises:
        ValueError: a figure that is zero or less.
    """
    if not (each_per_s > 0 and requests_per_s > 0):
        raise ValueError("what a front-end carries must be more than 0")
    needed = math.ceil(requests_per_s / each_per_s - 1e-9) + 1
    # An even number of voters survives no more losses than the odd one below it.
    return max(_FRONT_ENDS_MIN, needed + (needed + 1) % 2)


def plan_replicas(load: Load) -> Plan:
    """Size a deployment.

    Raises:
        ValueError: a figure that is zero or less where it cannot be, or a load beyond
            `SLOTS_MAX` slots.
    """
    _check(load)
    formula = _formula_replicas(load, load.offered)
    replicas = _enough_replicas(load, load.offered, formula)
    peak = load.offered * load.spike
    spike_replicas = _enough_replicas(load, peak, _formula_replicas(load, peak))
    slots, formula_slots = (n * load.slots_per_replica for n in (replicas, formula))
    capacity_per_s = slots / load.service_s
    excess_per_s = max(0.0, load.requests_per_s * load.spike - capacity_per_s)
    return Plan(
        formula_replicas=formula,
        replicas=replicas,
        spike_replicas=spike_replicas,
        wait_probability=erlang_c(slots, load.offered),
        mean_wait_s=mean_wait_s(slots, load.offered, load.service_s),
        p99_wait_s=wait_quantile_s(slots, load.offered, load.service_s, _ABOVE_P99),
        formula_wait_probability=erlang_c(formula_slots, load.offered),
        formula_mean_wait_s=mean_wait_s(formula_slots, load.offered, load.service_s),
        formula_p99_wait_s=wait_quantile_s(formula_slots, load.offered, load.service_s, _ABOVE_P99),
        shed=_shed(load, replicas, load.offered),
        formula_shed=_shed(load, formula, load.offered),
        utilization=load.offered / slots,
        spike_backlog=excess_per_s * load.cold_start_s,
    )


def _check(load: Load) -> None:
    positive = {
        "requests per second": load.requests_per_s,
        "the service time": load.service_s,
        "the slots of a replica": load.slots_per_replica,
        "the share that may be shed": load.shed_max,
        "the target utilization": load.target_utilization,
    }
    for name, value in positive.items():
        if not value > 0 or math.isinf(value):
            raise ValueError(f"{name} must be more than 0")
    if load.p99_wait_max_s is not None and load.p99_wait_max_s < 0:
        raise ValueError("a wait is 0 or more")
    if load.target_utilization > 1:
        raise ValueError("the target utilization is at most 1")
    if load.spike < 1:
        raise ValueError("the spike is a multiple of the load, 1 or more")
    if load.offered * load.spike / load.target_utilization > SLOTS_MAX:
        raise ValueError(f"this load needs more than {SLOTS_MAX:,} slots")


def _formula_replicas(load: Load, offered: float) -> int:
    needed = offered / load.target_utilization / load.slots_per_replica
    # 20 * 10 / 0.7 must not become 287 by a last digit.
    return max(1, math.ceil(needed - 1e-9))


def _enough_replicas(load: Load, offered: float, at_least: int) -> int:
    """The fewest replicas, not below `at_least`, that let requests wait no more than allowed."""
    low, high = at_least, at_least
    while not _is_enough(load, high, offered):
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        if _is_enough(load, middle, offered):
            high = middle
        else:
            low = middle + 1
    return high


def _is_enough(load: Load, replicas: int, offered: float) -> bool:
    if _shed(load, replicas, offered) > load.shed_max:
        return False
    if load.p99_wait_max_s is None:
        return True
    slots = replicas * load.slots_per_replica
    return wait_exceeds(slots, offered, load.service_s, load.p99_wait_max_s) <= _ABOVE_P99


def _shed(load: Load, replicas: int, offered: float) -> float:
    slots = replicas * load.slots_per_replica
    return wait_exceeds(slots, offered, load.service_s, load.queue_wait_max_s)
