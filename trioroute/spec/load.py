"""Load endpoint and deployment files, or folders of them, into what trioroute routes.

All mistakes of all files are found in one go and raised together.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.spec import azure
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.cluster.packing import CodePack
from trioroute.spec.convert import to_deployment, to_endpoint
from trioroute.spec.problems import Problem, Problems, nearest
from trioroute.spec.properties import DeploymentProperties, EndpointProperties, read_properties
from trioroute.spec.reading import ReadFile, is_recognisable, read_text
from trioroute.spec.sources import SourceFinder
from trioroute.spec.written.documents import Document
from trioroute.spec.written.revision import with_revision

__all__ = ["Loaded", "load_documents", "load_paths"]

#: `up .` in a large tree must not search it all; examples keep their files two levels down.
_FOLDER_DEPTH_MAX: Final = 3
_SUFFIXES: Final = frozenset((".yml", ".yaml"))
_SKIPPED_FOLDERS: Final = frozenset(("node_modules", "site-packages", "__pycache__"))


_Finder = SourceFinder | ContainerFinder

_OIDC_HINTS: Final = {
    "issuer": 'trioroute.oidc.issuer: "https://login.example/tenant"',
    "audience": 'trioroute.oidc.audience: "api://scoring"',
}


@attrs.frozen(kw_only=True)
class Loaded:
    """What the files describe.

    Attributes:
        warnings: what works but may not be what was meant.
        files: the files that were read, in order.
        documents: what the user wrote, by the registry's names.
        code: on a cluster, the code folders that have to be brought there.
    """

    endpoints: tuple[Endpoint, ...]
    deployments: tuple[Deployment, ...]
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()
    documents: Mapping[str, Document] = attrs.field(factory=dict)
    code: tuple[CodePack, ...] = ()


def load_paths(
    paths: Sequence[Path],
    *,
    dev: bool = False,
    loopback: bool = False,
    assets: Mapping[str, Path] | None = None,
    starting: bool = True,
    overrides: Mapping[str, str] | None = None,
    registered: Mapping[str, Collection[str]] | None = None,
    cluster: ContainerFinder | None = None,
) -> Loaded:
    """Read files, and folders searched for files that are recognisably ours.

    Args:
        paths: files and folders; a file that is named must be an endpoint or a deployment.
        dev: whether `trioroute.mount` is allowed, and `trioroute.anonymous` off loopback.
        loopback: whether only this machine can reach the scoring port (decision 10).
        assets: registered model names to local paths (decision 12).
        starting: whether replicas will be started here: missing files and a deployment without its
            endpoint are errors then, and only warnings otherwise (decision 11).
        overrides: values of top-level fields that replace those of the files.
        registered: endpoints that exist already, and the names of their deployments.
        cluster: finds replicas' containers, where they are no processes here.

    Raises:
        SpecError: with every problem of every file.
    """
    problems = Problems()
    files = list(_find_files(paths, problems))
    is_cluster = cluster is not None
    read = [_read_file(path, problems, overrides, is_cluster=is_cluster) for path in files]
    found = [file for file in read if file is not None]
    _check_duplicates(found)
    is_complete = len(found) == len(files)
    _check_links(found, registered or {}, is_complete=is_complete, starting=starting)
    finder = cluster if cluster is not None else SourceFinder(assets or {}, starting)
    loaded = _load(found, finder, dev=dev, loopback=loopback)
    problems.raise_if_any()
    return attrs.evolve(loaded, warnings=tuple(problems.warnings), files=tuple(files))


def load_documents(
    documents: Sequence[Document],
    *,
    dev: bool = False,
    loopback: bool = False,
    assets: Mapping[str, Path] | None = None,
    starting: bool = True,
    registered: Mapping[str, Collection[str]] | None = None,
    cluster: bool = False,
) -> Loaded:
    """Read documents that were changed, as if their user had written them into a file.

    Args: as in `load_paths`, and
        registered: None: what the documents name beside themselves is not looked for.
        cluster: whether replicas are containers there, not processes here.

    Raises:
        SpecError: with every problem of every document; lines are those of `Document.to_text`.
    """
    problems = Problems()
    read = [
        read_text(
            each.to_text(),
            each.key,
            problems,
            folder=Path(each.folder),
            kind=each.kind,
            is_cluster=cluster,
        )
        for each in documents
    ]
    found = [file for file in read if file is not None]
    if registered is not None:
        is_complete = len(found) == len(documents)
        _check_links(found, registered, is_complete=is_complete, starting=starting)
    known = {name: Path(path) for each in documents for name, path in each.assets.items()}
    local = SourceFinder({**known, **(assets or {})}, starting)
    finder = ContainerFinder() if cluster else local
    loaded = _load(found, finder, dev=dev, loopback=loopback)
    problems.raise_if_any()
    return attrs.evolve(loaded, warnings=tuple(problems.warnings))


def _load(found: Sequence[ReadFile], finder: _Finder, *, dev: bool, loopback: bool) -> Loaded:
    endpoints = [_load_endpoint(file, dev=dev, loopback=loopback) for file in found]
    deployments = [_load_deployment(file, finder) for file in found]
    _check_mounts(found, endpoints)
    _check_addresses(found, deployments)
    documents = [_document(file, finder) for file in found]
    return Loaded(
        endpoints=tuple(endpoint for endpoint in endpoints if endpoint is not None),
        deployments=tuple(with_revision(each) for each in deployments if each is not None),
        documents={each.key: each for each in documents},
        code=tuple(finder.packs.values()) if isinstance(finder, ContainerFinder) else (),
    )


def _find_files(paths: Sequence[Path], problems: Problems) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            found = [path]
        else:
            found = [file for file in _search(path) if _is_ours(file)]
            if not found:
                message = f"no endpoint or deployment file (*.yml, *.yaml) in {path}"
                problems.errors.append(Problem(file=str(path), code="TR0006", message=message))
        for file in found:
            # A file given twice, or given and found in a folder, is one file.
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _search(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        is_deep = depth >= _FOLDER_DEPTH_MAX
        folders[:] = [] if is_deep else sorted(name for name in folders if _is_searched(name))
        for name in sorted(names):
            if Path(name).suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield Path(parent, name)


def _is_searched(folder: str) -> bool:
    return not folder.startswith(".") and folder not in _SKIPPED_FOLDERS


def _is_ours(file: Path) -> bool:
    try:
        return is_recognisable(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return False


def _read_file(
    path: Path, problems: Problems, overrides: Mapping[str, str] | None, *, is_cluster: bool
) -> ReadFile | None:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        message, hint = "there is no such file", _similar_file(path)
    except UnicodeDecodeError as error:
        message, hint = f"this is not a text file: byte {error.start} is not UTF-8", ""
    except OSError as error:
        message, hint = f"the file cannot be read: {error.strerror}", ""
    else:
        return read_text(
            text,
            str(path),
            problems,
            folder=path.parent,
            overrides=overrides,
            is_cluster=is_cluster,
        )
    problem = Problem(file=str(path), code="TR0001", message=message, hint=hint)
    problems.errors.append(problem)
    return None


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    word = nearest(path.name, (child.name for child in path.parent.iterdir()))
    return f"did you mean {path.parent / word}?" if word else ""


def _check_duplicates(files: Sequence[ReadFile]) -> None:
    first: dict[tuple[str, ...], ReadFile] = {}
    for file in files:
        spec = file.spec
        is_endpoint = isinstance(spec, azure.Endpoint)
        key = (spec.name,) if isinstance(spec, azure.Endpoint) else _key_of(spec)
        if key not in first:
            first[key] = file
            continue
        where = f"{first[key].scope.file}:{first[key].at('name').line}"
        code = "TR0301" if is_endpoint else "TR0302"
        what = "an endpoint" if is_endpoint else f"a deployment of {key[0]}"
        message = f"{what} named {spec.name} is in {where} already"
        file.below("name").error(file.at("name"), code, message, "rename one of them")


def _key_of(spec: azure.Deployment) -> tuple[str, str]:
    return spec.endpoint_name.lower(), spec.name


def _check_links(
    files: Sequence[ReadFile],
    registered: Mapping[str, Collection[str]],
    *,
    is_complete: bool,
    starting: bool,
) -> None:
    """Deployments have endpoints, and traffic goes to deployments that exist.

    Args:
        registered: endpoints and deployments that exist besides.
        is_complete: whether all files could be read; if not, what is missing may be in the others.
    """
    endpoints = {file.spec.name for file in files if isinstance(file.spec, azure.Endpoint)}
    endpoints |= registered.keys()
    deployments = {endpoint: set(names) for endpoint, names in registered.items()}
    for file in files:
        if isinstance(file.spec, azure.Deployment):
            endpoint, name = _key_of(file.spec)
            deployments.setdefault(endpoint, set()).add(name)
            if is_complete and endpoint not in endpoints:
                _report_no_endpoint(file, endpoint, endpoints, starting=starting)
    for file in files:
        if is_complete and isinstance(file.spec, azure.Endpoint):
            known = deployments.get(file.spec.name, set())
            _check_traffic_names(file, file.spec, known, starting=starting)


def _report_no_endpoint(
    file: ReadFile, endpoint: str, endpoints: set[str], *, starting: bool
) -> None:
    scope = file.below("endpoint_name")
    word = nearest(endpoint, endpoints)
    if word is None and len(endpoints) == 1:
        word = next(iter(endpoints))
    hint = f"did you mean {word}?" if word else "give the endpoint's file as well"
    report = scope.error if starting else scope.warn
    report(
        file.at("endpoint_name"), "TR0303", f"the endpoint {endpoint} is in none of the files", hint
    )


def _check_traffic_names(
    file: ReadFile, spec: azure.Endpoint, known: Collection[str], *, starting: bool
) -> None:
    """Traffic goes to deployments that exist.

    An endpoint without any deployment is one that is just being made: its traffic may be set before
    they exist (D6), and that is worth a warning. Beside others an unknown name is a typo, or a
    share that nobody answers, and Azure takes traffic for existing deployments only.
    """
    for field in ("traffic", "mirror_traffic"):
        for name, percent in (getattr(spec, field) or {}).items():
            if percent and name.lower() not in known:
                _report_no_deployment(file, field, name, known, starting=starting)
    if known and not any((spec.traffic or {}).values()):
        example = " ".join(f"{name}: 100" for name in sorted(known)[:1])
        message = "no deployment gets traffic; requests are answered 404 unless they name one"
        file.below("traffic").warn(file.at("name"), "TR0305", message, f"traffic: {{{example}}}")


def _report_no_deployment(
    file: ReadFile, field: str, name: str, known: Collection[str], *, starting: bool
) -> None:
    scope = file.below(field, name)
    word = nearest(name, known)
    hint = f"did you mean {word}?" if word else ""
    message = f"there is no deployment {name}; its share would get 503 until it exists"
    if known and starting:
        hint = hint or f"give its file as well; there is {', '.join(sorted(known))}"
        scope.error(file.at(field, name), "TR0304", message, hint)
    else:
        scope.warn(file.at(field, name), "TR0304", message, hint)


def _load_endpoint(file: ReadFile, *, dev: bool, loopback: bool) -> Endpoint | None:
    if not isinstance(file.spec, azure.Endpoint):
        return None
    extras = read_properties(EndpointProperties, file)
    if extras is None:
        return None
    _check_development(file, extras, dev=dev, loopback=loopback)
    _check_issuer(file, extras)
    return to_endpoint(file.spec, extras)


def _check_issuer(file: ReadFile, extras: EndpointProperties) -> None:
    """An `aad_token` endpoint says whose tokens open it, and nobody else has to."""
    settings = {
        "issuer": extras.oidc_issuer,
        "audience": extras.oidc_audience,
        "jwks": extras.oidc_jwks,
    }
    given = [name for name, value in settings.items() if value is not None]
    mode = getattr(file.spec, "auth_mode", None)
    if given and mode != "aad_token":
        where = ("properties", f"trioroute.oidc.{given[0]}")
        message = "only an endpoint with auth_mode: aad_token has an issuer"
        file.below(*where).error(file.at(*where), "TR0202", message, "auth_mode: aad_token")
    elif given and not {"issuer", "audience"} <= set(given):
        where = ("properties", f"trioroute.oidc.{given[0]}")
        missing = "audience" if "issuer" in given else "issuer"
        message = f"trioroute.oidc.{missing} is missing"
        file.below(*where).error(file.at(*where), "TR0202", message, _OIDC_HINTS[missing])
    elif mode == "aad_token" and not given:
        message = "no request gets in until somebody says whose tokens are good"
        hint = 'properties: trioroute.oidc.issuer: "https://…", trioroute.oidc.audience: "…"'
        file.below("auth_mode").warn(file.at("auth_mode"), "TR0114", message, hint)


def _check_development(
    file: ReadFile, extras: EndpointProperties, *, dev: bool, loopback: bool
) -> None:
    hint = "start with --dev (in Python dev=True) to allow it"
    if extras.mount is not None and not dev:
        where = ("properties", "trioroute.mount")
        message = "an endpoint at the root path is for development only"
        file.below(*where).error(file.at(*where), "TR0203", message, hint)
    if extras.anonymous and not dev and not loopback:
        where = ("properties", "trioroute.anonymous")
        message = "an endpoint without keys is allowed on loopback or for development only"
        file.below(*where).error(file.at(*where), "TR0203", message, hint)


def _document(file: ReadFile, finder: _Finder) -> Document:
    document = finder.written(Document.of(file))
    model = getattr(file.spec, "model", None)
    path = finder.asset(model) if isinstance(model, str) else None
    return document if path is None else attrs.evolve(document, assets={str(model): str(path)})


def _check_mounts(files: Sequence[ReadFile], endpoints: Sequence[Endpoint | None]) -> None:
    """The root path can belong to one endpoint only."""
    first: Endpoint | None = None
    for file, endpoint in zip(files, endpoints, strict=True):
        if endpoint is None or endpoint.mount is None:
            continue
        if first is not None:
            where = ("properties", "trioroute.mount")
            message = f"{first.name} is mounted at the root path already"
            file.below(*where).error(file.at(*where), "TR0109", message)
        first = first or endpoint


def _check_addresses(files: Sequence[ReadFile], deployments: Sequence[Deployment | None]) -> None:
    """Two deployments at one address each keep their limit, but not both together."""
    owners: dict[tuple[str, int], Deployment] = {}
    for file, deployment in zip(files, deployments, strict=True):
        if deployment is None or not isinstance(deployment.source, StaticSource):
            continue
        for host, port in deployment.source.addresses:
            owner = owners.setdefault((host, port), deployment)
            if owner is not deployment:
                where = ("properties", "trioroute.addresses")
                message = f"{host}:{port} is a replica of {owner.key} too; their limits add up"
                file.below(*where).warn(file.at(*where), "TR0114", message)


def _load_deployment(file: ReadFile, finder: _Finder) -> Deployment | None:
    if not isinstance(file.spec, azure.Deployment):
        return None
    _warn_of_no_effect(file, file.spec)
    if not isinstance(finder, ContainerFinder):
        _warn_of_liveness(file, file.spec)
    extras = read_properties(DeploymentProperties, file)
    if extras is None:
        return None
    source = finder.find(file, file.spec, extras)
    return None if source is None else to_deployment(file.spec, extras, source)


def _warn_of_liveness(file: ReadFile, spec: azure.Deployment) -> None:
    """Local replicas are processes whose end is seen; nobody ends one that no longer answers.

    A server that works on one request at a time does not answer while it does, and a probe that
    ended it would end the request.
    """
    if spec.liveness_probe is not None:
        message = "local replicas are not probed for liveness; on Kubernetes they are"
        hint = "the readiness_probe counts: who fails it gets no requests until it answers again"
        where = "liveness_probe"
        file.below(where).warn(file.at(where), "TR0113", message, hint)


def _warn_of_no_effect(file: ReadFile, spec: azure.Deployment) -> None:
    """Settings that Azure acts on and trioroute does not: nobody should wait for their data."""
    collector = spec.data_collector
    collects = collector is not None and any(
        str(one.enabled).lower() != "false" for one in (collector.collections or {}).values()
    )
    if collects:
        message = "no payload is collected: trioroute logs requests without their bodies"
        hint = "log what you need in the scoring script; `trioroute logs` shows it"
        file.below("data_collector").warn(file.at("data_collector"), "TR0113", message, hint)
    if spec.app_insights_enabled:
        message = "there is no Application Insights here; traceparent is passed on and logged"
        hint = "`trioroute up --access-log FILE` has a line for each request, with its trace"
        where = "app_insights_enabled"
        file.below(where).warn(file.at(where), "TR0113", message, hint)
