"""The four kinds of file against what Azure's documents list."""

from trioroute.spec import azure
from trioroute.spec.fields.objects import settings_of


def test_every_field_is_described() -> None:
    schemas = (
        azure.KUBERNETES_ENDPOINT,
        azure.MANAGED_ENDPOINT,
        azure.KUBERNETES_DEPLOYMENT,
        azure.MANAGED_DEPLOYMENT,
    )
    for cls in [schema.cls for schema in schemas]:
        assert all(setting.doc for setting in settings_of(cls).values())


def test_what_only_one_kind_has() -> None:
    kubernetes = {*settings_of(azure.KubernetesDeployment)}
    managed = {*settings_of(azure.ManagedDeployment)}
    assert kubernetes - managed == {"resources"}
    assert managed - kubernetes == {
        "egress_public_network_access",
        "private_network_connection",
    }
    assert {*settings_of(azure.KubernetesEndpoint)} - {*settings_of(azure.ManagedEndpoint)} == {
        "compute"
    }
