"""Registers what `up` was given, as `trioroute apply` does, and says what there is then."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from trioroute.admin.resources.vault import EndpointKeys
from trioroute.client.applying import apply_steps, plan_steps
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.model import API_PREFIXES, AuthMode
from trioroute.core.resources.provisioning import least_count
from trioroute.spec.load import Loaded, load_documents
from trioroute.spec.problems import SpecError
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Resources

__all__ = ["Registered", "register"]

#: `up` starts a front-end again that dies meanwhile; with one front-end nobody else answers.
_RESTART_S: Final = 10.0

#: Beside an endpoint's file: one scoring request, as the packaged example has it.
_SAMPLE: Final = "request.json"


@attrs.frozen(kw_only=True)
class Registered:
    """What the registry holds.

    Attributes:
        endpoints: name to the path where it is scored.
        keys: of every endpoint that has some.
        takes_tokens: names of the endpoints that tokens of ours open.
        samples: files that each hold one scoring request, of the endpoints that have one.
        wished: deployment key to how many replicas there will be without any load.
    """

    endpoints: Mapping[str, str]
    keys: dict[str, EndpointKeys]
    takes_tokens: frozenset[str]
    samples: dict[str, Path]
    wished: Mapping[str, int]


async def register(
    admin_urls: Sequence[str], loaded: Loaded, progress: Callable[[str], None]
) -> Registered:
    """Make the registry say what the files say, and nothing besides; waits for no replica.

    Without files everything stays as it was when `up` ended last.

    Raises:
        ProblemAnswerError: a change was refused.
        UnreachableError: nobody took it.
    """
    client = ResourceClient(System(admin_urls=tuple(admin_urls), unreachable_s=_RESTART_S))
    token = trio.lowlevel.current_trio_token()

    def say(text: str) -> None:
        trio.from_thread.run_sync(progress, text, trio_token=token)

    return await trio.to_thread.run_sync(_register, client, loaded, say, abandon_on_cancel=True)


def _register(client: ResourceClient, loaded: Loaded, say: Callable[[str], None]) -> Registered:
    if loaded.documents:
        steps = plan_steps(loaded, client.registry(), prune=True)
        # What ran here last may still have its traffic: nobody is served before `up` is.
        apply_steps(client, loaded, steps, wait_s=None, progress=say, with_traffic=True)
    registry = client.registry()
    if not loaded.documents:
        loaded = _load_again(registry, say)
    mounted = {endpoint.name for endpoint in loaded.endpoints if endpoint.mount}
    keys = {}
    for endpoint in registry.endpoints:
        if endpoint.has_keys:
            found = client.credentials(endpoint.name)
            keys[endpoint.name] = EndpointKeys(found.primary_key, found.secondary_key)
    return Registered(
        endpoints={
            one.name: "/" if one.name in mounted else f"{API_PREFIXES[0]}{one.name}/score"
            for one in registry.endpoints
        },
        keys=keys,
        takes_tokens=frozenset(
            one.name for one in registry.endpoints if one.auth_mode == AuthMode.AML_TOKEN.value
        ),
        samples=_find_samples(registry),
        wished={deployment.key: least_count(deployment) for deployment in loaded.deployments},
    )


def _find_samples(registry: Resources) -> dict[str, Path]:
    samples = {}
    for endpoint in registry.endpoints:
        if endpoint.document:
            sample = Path(Document.decode(endpoint.document).folder, _SAMPLE)
            if sample.is_file():
                samples[endpoint.name] = sample
    return samples


def _load_again(registry: Resources, say: Callable[[str], None]) -> Loaded:
    """What the users' documents mean that were registered before."""
    texts = [one.document for one in registry.endpoints]
    texts += [one.document for one in registry.deployments]
    documents = [Document.decode(text) for text in texts if text]
    try:
        return load_documents(documents, dev=True, loopback=True)
    except SpecError as error:
        # It is registered all the same: replicas start, or say why they do not.
        for problem in error.problems:
            say(f"warning: {problem}")
        return Loaded(endpoints=(), deployments=())
