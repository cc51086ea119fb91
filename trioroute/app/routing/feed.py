"""The pictures that a front-end hands down to its workers, put together from what it knows.

Endpoints, replicas and homes come from the log, the coordinator from consensus, the keys that
tokens are verified by from the log and from their issuers.
"""

from typing import Final

import attrs
import trio

from consensus import Member
from trioroute.app.replicated import RegistryMachine
from trioroute.app.settings import FrontEndConfig
from trioroute.core.model import AuthMode, CoordinatorAddress, RoutingSnapshot
from trioroute.discovery.issuers import IssuerKeys

__all__ = ["RoutingPictures"]

#: How often to look whether this member has caught up, seconds; only in the first moments.
_LOOK_S: Final = 0.02


class RoutingPictures:
    """The `RoutingFeed` of every seat: what the log says, and who holds the office."""

    def __init__(
        self,
        config: FrontEndConfig,
        member: Member,
        machine: RegistryMachine,
        issuers: IssuerKeys,
    ) -> None:
        self._addresses = {peer.name: peer for peer in config.peers}
        self._member = member
        self._machine = machine
        self._issuers = issuers

    def snapshot(self, holder: str) -> RoutingSnapshot:
        """What that holder routes by now."""
        office = self._member.office
        coordinator = None
        if office is not None:
            address = self._addresses[office.name]
            coordinator = CoordinatorAddress(
                name=office.name, epoch=office.epoch, host=address.host, port=address.port
            )
        snapshot = self._machine.registry.snapshot_for(holder, coordinator)
        # Take-overs are entries of the log too, and the registry does not see those.
        return attrs.evolve(
            snapshot,
            version=self._member.applied_index,
            key_sets={**snapshot.key_sets, **self._issuers.key_sets()},
        )

    async def wait_changed(self, seen: RoutingSnapshot) -> None:
        """Return when more of the log is applied, or an issuer has other keys."""
        async with trio.open_nursery() as nursery:

            async def watch_issuers() -> None:
                await self._issuers.wait_unlike(seen.key_sets)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch_issuers)
            await self._member.wait_applied_beyond(seen.version)
            nursery.cancel_scope.cancel()

    async def wait_caught_up(self) -> None:
        """Return when what this member has applied is what the group has agreed on.

        A worker that accepted earlier would answer 404 for endpoints that exist.
        """
        while True:
            statistics = self._member.statistics()
            is_current = statistics.applied_index >= statistics.commit_index
            if statistics.leader is not None and self._member.office is not None and is_current:
                return
            await trio.sleep(_LOOK_S)

    async def follow_issuers(self) -> None:
        """Keep the keys of the issuers that endpoints name, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._issuers.run)
            while True:
                applied = self._member.applied_index
                endpoints = self._machine.registry.state.endpoints
                self._issuers.want(
                    {
                        name: endpoint.token_issuer
                        for name, endpoint in endpoints.items()
                        if endpoint.auth_mode is AuthMode.AAD_TOKEN
                        and endpoint.token_issuer is not None
                    }
                )
                await self._member.wait_applied_beyond(applied)
