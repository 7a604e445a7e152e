"""The VPC that jobs and models run in, in the words of each API that takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagemaker.core.network import NetworkConfig
    from sagemaker.core.training.configs import Networking

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """The plan's subnets and security groups; without any, SageMaker's own network is used and nothing is said of one."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    @property
    def model(self) -> dict[str, Any]:
        """For boto3: `sm.create_model(..., **rb.network.model)`."""
        if not self.subnets:
            return {}
        groups = {"SecurityGroupIds": list(self.security_groups)}
        return {"VpcConfig": {"Subnets": list(self.subnets), **groups}}

    @property
    def processing(self) -> NetworkConfig | None:
        """For a processor: `FrameworkProcessor(..., network_config=rb.network.processing)`."""
        from sagemaker.core.network import NetworkConfig

        if not self.subnets:
            return None
        return NetworkConfig(subnets=list(self.subnets), security_group_ids=list(self.security_groups))

    @property
    def training(self) -> Networking | None:
        """For a trainer: `ModelTrainer(..., networking=rb.network.training)`."""
        from sagemaker.core.training.configs import Networking

        if not self.subnets:
            return None
        return Networking(subnets=list(self.subnets), security_group_ids=list(self.security_groups))
