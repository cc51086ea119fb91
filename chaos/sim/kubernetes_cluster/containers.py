"""Containers as processes of this machine: what a pod has for itself is translated.

A pod has its own address, file system and names; processes here share one machine. So each pod gets
a loopback address, and in its words and variables `0.0.0.0` and `localhost` become that address,
paths of its volumes (and `/tmp`) become folders of its own, that of its termination message becomes
a file of each start's own, and names of pods behind a headless Service become their addresses.
Images are not fetched: an image stands for a command.
"""

import base64
import contextlib
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes_cluster.kube import Kube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Ended, Ready
from chaos.sim.kubernetes_cluster.probes import Probed, look_after
from trioroute.app.leash import NO_LIFELINE, leashed_command

__all__ = ["LOGS", "MARK", "Containers", "Image", "bytes_of"]

Json = dict[str, Any]

#: In the environment of all that a run starts, so that whatever outlives it is found.
MARK: Final = "TRIOROUTE_CHAOS_RUN"
#: Where in the folder each pod has a log, by its name.
LOGS: Final = "logs"

_SHIM: Final = "chaos.sim.kubernetes_cluster.become:become"
_QUANTITY: Final = re.compile(r"([0-9.]+)([A-Za-z]*)")
_UNITS: Final = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGT", start=1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGT", start=1)},
}
#: What a kubelet reads of a termination message: its end.
_MESSAGE_BYTES_MAX: Final = 4096
#: Those that a killed process leaves behind need a moment, seconds.
_GONE_LOOK_S: Final = 0.01
_VARIABLE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@attrs.frozen(kw_only=True)
class Image:
    """What an image's name stands for here.

    Attributes:
        entrypoint: comes before a container's arguments where it names no command, and stands for
            the image's own name in hooks.
        arguments: words added at the end; the file of its service account's kubeconfig is known.
    """

    entrypoint: tuple[str, ...] = ()
    arguments: Callable[[Path], Sequence[str]] = lambda _: ()


@attrs.frozen(kw_only=True)
class _Place:
    """What one pod has for itself."""

    address: str
    variables: Mapping[str, str]
    folders: Mapping[str, Path]
    names: Callable[[str], str]

    def word(self, text: str) -> str:
        """A word of the container's as it is meant here."""
        text = _VARIABLE.sub(lambda found: self.variables.get(found[1], found[0]), text)
        text = self.names(text)
        text = re.sub(r"\b0\.0\.0\.0\b|\blocalhost\b", self.address, text)
        # One pass: what a path becomes may begin with another volume's path.
        paths = "|".join(map(re.escape, sorted(self.folders, key=len, reverse=True)))
        pattern = rf"(?<![\w.-])({paths})(?=/|$)"
        return re.sub(pattern, lambda found: str(self.folders[found[1]]), text)


class Containers:
    """A `Runtime` of processes. To be used from the main thread: leashes are held by threads."""

    def __init__(
        self,
        kube: Kube,
        folder: Path,
        *,
        images: Mapping[str, Image],
        addresses: Addresses,
        kubeconfig: Callable[[str], Json],
    ) -> None:
        """Args:
        folder: for volumes, logs and what containers write.
        images: name without tag → what it stands for; others must name a command.
        kubeconfig: what a service account with that token needs to reach the API server.
        """
        self._kube = kube
        self._folder = folder
        self._images = images
        self._addresses = addresses
        self._kubeconfig = kubeconfig
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._places: dict[str, _Place] = {}
        self._messages: dict[str, Path] = {}
        self._starts = itertools.count()

    def kill(self, uid: str) -> None:
        """See `Runtime`."""
        process = self._processes.get(uid)
        if process is not None and process.poll() is None:
            process.kill()

    def pid(self, uid: str) -> int | None:
        """The process of a pod's container, while it runs."""
        process = self._processes.get(uid)
        return process.pid if process is not None and process.poll() is None else None

    def pids(self) -> list[int]:
        """The processes of all containers that run."""
        return [process.pid for process in self._processes.values() if process.poll() is None]

    def files(self, pattern: str) -> list[Path]:
        """What containers wrote below their own `/tmp`, oldest pod first."""
        return sorted(self._folder.glob(f"pods/*/tmp/{pattern}"))

    def ended(self, uid: str) -> Ended:
        """See `Runtime`."""
        process, file = self._processes.get(uid), self._messages.get(uid)
        if process is None or file is None:
            return Ended(0)
        message = file.read_bytes()[-_MESSAGE_BYTES_MAX:].decode(errors="replace")
        return Ended(process.returncode or 0, message)

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        """See `Runtime`. Cancelled, the process gets SIGTERM and is waited for."""
        uid, container = pod["metadata"]["uid"], pod["spec"]["containers"][0]
        place = self._places[uid] = await self._place(pod, address)
        words = await self._words(pod, place)
        process = self._processes[uid] = self._start(pod, words, place.variables)
        try:
            async with trio.open_nursery() as nursery:
                probed = Probed(
                    container=container,
                    address=address,
                    ready=ready,
                    end=lambda why: nursery.start_soon(self._end, pod, process, why),
                    execute=partial(self._succeeds, pod),
                )
                nursery.start_soon(look_after, probed)
                await _wait_ended(process)
                nursery.cancel_scope.cancel()
        finally:
            if process.poll() is None:
                process.terminate()
            with trio.CancelScope(shield=True):
                await _wait_ended(process)
                await _wait_all_gone(process.pid)

    async def _end(self, pod: Json, process: "subprocess.Popen[bytes]", why: str) -> None:
        """End what failed a probe as a kubelet does: asked first, then by force."""
        self._write(pod, f"the kubelet ends this container: it {why}\n".encode())
        process.terminate()
        await trio.sleep(pod["spec"].get("terminationGracePeriodSeconds", 30))
        process.kill()

    async def execute(self, pod: Json, address: str, command: list[str]) -> None:
        """See `Runtime`."""
        del address
        await self._succeeds(pod, command)

    async def _succeeds(self, pod: Json, command: list[str]) -> bool:
        place = self._places[pod["metadata"]["uid"]]
        words = [place.word(word) for word in command]
        if words[0] == _image_name(pod):
            words = [*self._image(pod).entrypoint, *words[1:]]
        process = self._start(pod, words, place.variables)
        try:
            await _wait_ended(process)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await _wait_ended(process)
        return process.returncode == 0

    def log(self, pod: Json) -> str:
        """What a pod's containers and those of its name before it have written."""
        file = self._log_file(pod)
        return file.read_text(errors="replace") if file.exists() else ""

    def _log_file(self, pod: Json) -> Path:
        return self._folder / LOGS / f"{pod['metadata']['name']}.log"

    def _write(self, pod: Json, line: bytes) -> None:
        with self._log_file(pod).open("ab") as output:
            output.write(line)

    def _start(
        self, pod: Json, words: Sequence[str], variables: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        log = self._log_file(pod)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                leashed_command(_SHIM, list(words), lifeline=NO_LIFELINE),
                env={**variables, MARK: str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _limit(process, pod["spec"]["containers"][0])
        return process

    def _image(self, pod: Json) -> Image:
        return self._images.get(_image_name(pod), Image())

    async def _words(self, pod: Json, place: _Place) -> list[str]:
        container, image = pod["spec"]["containers"][0], self._image(pod)
        given = [place.word(word) for word in container.get("command") or ()]
        words = given or list(image.entrypoint)
        words += [place.word(word) for word in container.get("args") or ()]
        if words[0] == "python":
            words[0] = sys.executable
        if not given:
            words += image.arguments(await self._account_file(pod))
        return words

    async def _place(self, pod: Json, address: str) -> _Place:
        namespace, subdomain = pod["metadata"]["namespace"], pod["spec"].get("subdomain", "")

        def named(text: str) -> str:
            if not subdomain:
                return text
            pattern = rf"\b([a-z0-9-]+)\.{re.escape(subdomain)}\b"
            return re.sub(pattern, lambda found: self._addresses.named(namespace, found[1]), text)

        bare = _Place(address=address, variables={}, folders={}, names=named)
        variables = await self._variables(pod, address)
        folders = await self._folders(pod)
        place = attrs.evolve(bare, variables=variables, folders=folders)
        own = {name: place.word(value) for name, value in variables.items()}
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return attrs.evolve(place, variables={**base, **own})

    async def _variables(self, pod: Json, address: str) -> dict[str, str]:
        namespace, container = pod["metadata"]["namespace"], pod["spec"]["containers"][0]
        fields = {
            "metadata.name": pod["metadata"]["name"],
            "metadata.namespace": namespace,
            "status.podIP": address,
        }
        variables: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found = await self._kube.find("ConfigMap", namespace, source["configMapRef"]["name"])
            variables |= (found or {}).get("data", {})
        for entry in container.get("env", []):
            if "value" in entry:
                variables[entry["name"]] = entry["value"]
            else:
                variables[entry["name"]] = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        return variables

    async def _folders(self, pod: Json) -> dict[str, Path]:
        """Where each mounted path is on this machine; volumes are filled."""
        own = self._folder / "pods" / f"{pod['metadata']['name']}.{pod['metadata']['uid']}"
        volumes = {one["name"]: one for one in pod["spec"].get("volumes") or []}
        folders = {"/tmp": own / "tmp"}  # noqa: S108 - the path inside the container
        for mount in pod["spec"]["containers"][0].get("volumeMounts") or []:
            folder = await self._volume(pod, volumes[mount["name"]], own)
            folders[mount["mountPath"].rstrip("/")] = folder / mount.get("subPath", "")
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        said = pod["spec"]["containers"][0]["terminationMessagePath"]
        return {**folders, said: self._new_message(pod, own)}

    def _new_message(self, pod: Json, own: Path) -> Path:
        """The termination message file of one start: empty, whatever an earlier one left."""
        file = own / "messages" / f"{next(self._starts)}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        self._messages[pod["metadata"]["uid"]] = file
        return file

    async def _volume(self, pod: Json, volume: Json, own: Path) -> Path:
        namespace = pod["metadata"]["namespace"]
        folder: Path = own / "volumes" / str(volume["name"])
        if "persistentVolumeClaim" in volume:
            claim: str = volume["persistentVolumeClaim"]["claimName"]
            return self._folder / "claims" / f"{namespace}.{claim}"
        folder.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            found = await self._kube.find("Secret", namespace, name) or {}
            for key, text in found.get("data", {}).items():
                file = folder / key
                file.write_bytes(base64.b64decode(text))
                file.chmod(0o600)
        elif "configMap" in volume:
            name = volume["configMap"]["name"]
            found = await self._kube.find("ConfigMap", namespace, name) or {}
            for key, text in found.get("data", {}).items():
                (folder / key).write_text(text)
        return folder

    async def _account_file(self, pod: Json) -> Path:
        """What the pod's service account reaches the API server with."""
        namespace = pod["metadata"]["namespace"]
        account = pod["spec"].get("serviceAccountName", "default")
        token = await self._kube.token(namespace, account)
        file = self._folder / "accounts" / f"{namespace}.{account}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self._kubeconfig(token)))
        file.chmod(0o600)
        return file


def _image_name(pod: Json) -> str:
    image: str = pod["spec"]["containers"][0]["image"]
    return image.rpartition("/")[2].partition(":")[0]


def _limit(process: "subprocess.Popen[bytes]", container: Json) -> None:
    """Its memory, by what it may allocate: where a node would kill it, here allocating fails."""
    said = container.get("resources", {}).get("limits", {}).get("memory")
    if said is not None:
        most = bytes_of(said)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))


def bytes_of(quantity: str) -> int:
    """A quantity of memory, such as 1200Mi.

    Raises:
        ValueError: it is none, or has a unit that memory is not counted in.
    """
    found = _QUANTITY.fullmatch(quantity)
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"expected memory such as 1200Mi or 2Gi, not {quantity!r}")
    return int(float(found[1]) * _UNITS[found[2]])


async def _wait_ended(process: "subprocess.Popen[bytes]") -> None:
    """A process that is started here and not by Trio: its leash is held by this thread."""
    if process.poll() is not None:
        return
    descriptor = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    process.wait()


async def _wait_all_gone(group: int) -> None:
    """What a container's first process leaves behind ends with it, as its namespace does."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, signal.SIGKILL)
            await trio.sleep(_GONE_LOOK_S)
