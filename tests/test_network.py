"""The plan's subnets, as each API takes them: by the SDK's own classes, into the request that is sent."""

from __future__ import annotations

from kit import plan
from kit.network import Network

HERE = Network(("subnet-0a", "subnet-0b"), ("sg-0c",))
WANTED = {"Subnets": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0c"]}


def test_without_subnets_nothing_is_said() -> None:
    nowhere = plan.load().aws.network
    assert (nowhere.model, nowhere.processing, nowhere.training) == ({}, None, None)


def test_each_api_gets_its_own_words() -> None:
    assert HERE.model == {"VpcConfig": WANTED}
    assert HERE.processing is not None
    assert HERE.processing._to_request_dict()["VpcConfig"] == WANTED
    assert HERE.training is not None
    assert (HERE.training.subnets, HERE.training.security_group_ids) == (
        WANTED["Subnets"],
        WANTED["SecurityGroupIds"],
    )
