"""Service Quotas as the preflight asks for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from accounts import Account
from botocore.exceptions import ClientError

from kit.local_aws import service_quotas

TABLE = json.loads((Path(service_quotas.__file__).parent / "quotas.json").read_text(encoding="utf-8"))


def test_what_the_account_has_is_told_from_what_aws_gives(account: Account) -> None:
    quotas = account.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="sagemaker", PaginationConfig={"PageSize": 10}
    )
    held = {one["QuotaName"]: one for page in pages for one in page["Quotas"]}
    assert len(held) == len(TABLE["quotas"])
    name = "ml.m5.large for training job usage"
    one = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=held[name]["QuotaCode"])["Quota"]
    default = quotas.get_aws_default_service_quota(ServiceCode="sagemaker", QuotaCode=one["QuotaCode"])[
        "Quota"
    ]
    assert one["Value"] == held[name]["Value"] >= 1
    assert default["Value"] == 0
    assert len(quotas.list_aws_default_service_quotas(ServiceCode="sagemaker")["Quotas"]) == len(held)


def test_what_is_not_known_is_told(account: Account) -> None:
    quotas = account.client("service-quotas")
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-00000000")
    with pytest.raises(ClientError, match="knows the quotas of sagemaker only"):
        quotas.list_service_quotas(ServiceCode="ec2")


def test_the_table_is_well_formed() -> None:
    codes = [row["code"] for row in TABLE["quotas"]]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"L-[0-9A-F]{8}", code) for code in codes)
    assert all(row["granted"] >= row["default"] >= 0 for row in TABLE["quotas"])
