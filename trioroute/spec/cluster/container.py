"""Which container a deployment's replicas run in, on a cluster.

There, nothing is read from a disk beside the file: code is in the image or in a ConfigMap, the
model in the image or on a volume. What a laptop takes from a folder is refused, with what to write
instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import ContainerSource, Source, StaticSource, deployment_key
from trioroute.spec import azure
from trioroute.spec.cluster.forms import plain_form
from trioroute.spec.cluster.packing import CodePack, UnpackableError, pack_folder
from trioroute.spec.convert import to_variables
from trioroute.spec.properties import DeploymentProperties
from trioroute.spec.reading import ReadFile
from trioroute.spec.written.documents import Document

__all__ = [
    "CLAIM",
    "CODE_FOLDER",
    "CONFIG_MAP",
    "MODEL_FOLDER",
    "ContainerFinder",
    "resource_name",
    "secret_of",
]

#: How code, model and the values of variables are named that are in the cluster already.
CONFIG_MAP: Final = "configmap://"
CLAIM: Final = "pvc://"
SECRET: Final = "secret://"  # noqa: S105 - how one is named
#: Secrets and volumes of these prefixes are the front-ends' own: no model gets to see them, and a
#: volume that it had would be none that a front-end can start with.
_OWN_SECRETS: Final = "trioroute-"
_OWN_CLAIMS: Final = "data-trioroute-"
#: Where they are inside the container.
CODE_FOLDER: Final = "/var/azureml-app"
MODEL_FOLDER: Final = "/var/azureml-models"

#: Azure's words for a resource → Kubernetes'.
_GPU: Final = {"gpu": "nvidia.com/gpu"}


def resource_name(key: str) -> str:
    """The custom resource's name for a name of the registry: `iris` or `iris-blue`."""
    return key.replace("/", "-").lower()


@attrs.frozen
class ContainerFinder:
    """Finds the container of one deployment after the other; `spec.sources` has the local ones.

    Attributes:
        packs_code: whether somebody will bring local code folders into the cluster: as `packs`,
            by deployment key. Otherwise they are refused.
    """

    packs_code: bool = False
    packs: dict[str, CodePack] = attrs.field(factory=dict)

    def find(
        self, file: ReadFile, spec: azure.Deployment, extras: DeploymentProperties
    ) -> Source | None:
        """The source, or None when there is none; what is wrong is reported then.

        Args:
            file: where `spec` was read, for positions.
        """
        if extras.addresses is not None:
            return StaticSource(addresses=extras.addresses)
        if extras.workload is not None:
            return ContainerSource(image="", workload=extras.workload)
        image = _find_image(file, spec)
        code, script = self._find_code(file, spec)
        claim, path = _find_model(file, spec)
        if image is None or code is None or claim is None:
            return None
        written = file.at("environment_variables")
        variables = to_variables(written) if spec.environment_variables else {}
        are_good = [_is_good_variable(file, *one) for one in variables.items()]
        if not all(are_good):
            return None
        if extras.python is not None:
            where = ("properties", "trioroute.python")
            message = "an image brings its own interpreter"
            file.below(*where).warn(file.at(*where), "TR0113", message)
        resources = getattr(spec, "resources", None) or azure.ResourceList()
        return ContainerSource(
            image=image,
            command=extras.command or (),
            code=code,
            script=script,
            model_claim=claim,
            model_path=path,
            instance_type=_instance_type(file, spec),
            requests=_to_quantities(resources.requests),
            limits=_to_quantities(resources.limits),
            environment=variables,
        )

    def asset(self, reference: str) -> Path | None:
        """None: registered models are not known to a cluster."""
        del reference
        return None

    def written(self, document: Document) -> Document:
        """What the user wrote as the custom resource will say it."""
        content = plain_form(document.kind, document.content)
        pack = self.packs.get(document.key) if document.kind == "deployment" else None
        if pack is not None:
            code = {**content["code_configuration"], "code": CONFIG_MAP + pack.name}
            content = {**content, "code_configuration": code}
        return attrs.evolve(document, content=content)

    def _find_code(self, file: ReadFile, spec: azure.Deployment) -> tuple[str | None, str]:
        configuration = spec.code_configuration
        if configuration is None or not configuration.code:
            return "", ""
        given, script = configuration.code, configuration.scoring_script or ""
        name = _below(CONFIG_MAP, given)
        if name:
            return name, script
        where = ("code_configuration", "code")
        folder = file.scope.folder / given
        message = f"{given} is not in the cluster"
        hint = f"{CONFIG_MAP}NAME; `trioroute apply` and `render k8s` make one of a small folder"
        if self.packs_code and not folder.is_dir():
            message, hint = f"there is no folder {folder}", "a folder, or configmap://NAME"
        elif self.packs_code:
            key = deployment_key(spec.endpoint_name.lower(), spec.name)
            try:
                pack = pack_folder(folder, resource_name(key))
            except (UnpackableError, OSError) as error:
                message, hint = str(error), "build the code into the image, and leave code out"
            else:
                self.packs[key] = pack
                return pack.name, script
        file.below(*where).error(file.at(*where), "TR0403", message, hint)
        return None, ""


def _find_image(file: ReadFile, spec: azure.Deployment) -> str | None:
    environment = spec.environment
    if isinstance(environment, azure.Environment) and environment.image:
        return environment.image
    message = "no image: on Kubernetes replicas run from one"
    hint = "environment: {image: registry.example/model:1}"
    file.below("environment").error(file.at("environment"), "TR0404", message, hint)
    return None


def _find_model(file: ReadFile, spec: azure.Deployment) -> tuple[str | None, str]:
    model = spec.model
    given = model if isinstance(model, str) else model.path if model is not None else None
    if not given:
        return "", ""
    claim, _, inside = _below(CLAIM, given).partition("/")
    where = ("model",) if isinstance(model, str) else ("model", "path")
    message = f"{given} is not in the cluster"
    hint = f"{CLAIM}CLAIM/FOLDER, or build it into the image and leave model out"
    if claim.startswith(_OWN_CLAIMS):
        message = f"{claim} is a front-end's own volume"
    elif claim:
        return claim, inside
    file.below(*where).error(file.at(*where), "TR0403", message, hint)
    return None, ""


def secret_of(value: str) -> tuple[str, str] | None:
    """Name and key of the Secret that a variable's value names; None for a plain value."""
    if not value.startswith(SECRET):
        return None
    name, _, key = value.removeprefix(SECRET).partition("/")
    return name, key


def _is_good_variable(file: ReadFile, variable: str, value: str) -> bool:
    where = ("environment_variables", variable)
    named = secret_of(value)
    if named is None:
        return True
    if not all(named):
        message, hint = f"{value} names no key of a Secret", f"{SECRET}NAME/KEY"
    elif named[0].startswith(_OWN_SECRETS):
        message = f"{named[0]} is the front-ends' own Secret"
        hint = "a Secret of another name, in the models' namespace"
    else:
        return True
    file.below(*where).error(file.at(*where), "TR0403", message, hint)
    return False


def _instance_type(file: ReadFile, spec: azure.Deployment) -> str:
    """The operator's word; sizes of Azure's own machines mean nothing on somebody's cluster."""
    if isinstance(spec, azure.KubernetesDeployment):
        return spec.instance_type or ""
    message = f"{spec.instance_type} is a machine of Azure's; the default instance type is used"
    hint = "type: kubernetes, and an instance_type of this cluster"
    file.below("instance_type").warn(file.at("instance_type"), "TR0113", message, hint)
    return ""


def _below(prefix: str, text: str) -> str:
    return text.removeprefix(prefix).strip("/") if text.startswith(prefix) else ""


def _to_quantities(settings: azure.ResourceSettings | None) -> Mapping[str, str]:
    if settings is None:
        return {}
    said = attrs.asdict(settings)
    return {_GPU.get(name, name): str(value) for name, value in said.items() if value is not None}
