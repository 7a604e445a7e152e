"""What has a tag is found by it, whoever keeps the resource; and the applications of a domain."""

from __future__ import annotations

from typing import Any

import pytest
from accounts import Account
from botocore.exceptions import ClientError

TAGS = [{"Key": "eba:event", "Value": "an event"}]
ASKED = [{"Key": "eba:event", "Values": ["an event"]}]


def found(account: Account, **asked: Any) -> set[str]:
    pages = (
        account.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(PaginationConfig={"PageSize": 1}, **asked)
    )
    return {one["ResourceARN"].rpartition(":")[2] for page in pages for one in page["ResourceTagMappingList"]}


def test_what_has_the_tag_is_found_in_the_store_and_in_moto(account: Account) -> None:
    sagemaker, sns, s3 = (account.client(name) for name in ("sagemaker", "sns", "s3"))
    for name, tags in (("ours", TAGS), ("theirs", [{"Key": "eba:event", "Value": "another"}]), ("bare", [])):
        sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tags)
        sns.create_topic(Name=f"topic-{name}", Tags=tags)
    s3.create_bucket(Bucket="a-bucket-of-ours")
    s3.put_bucket_tagging(Bucket="a-bucket-of-ours", Tagging={"TagSet": TAGS})
    ours = {"model-package-group/ours", "topic-ours", "a-bucket-of-ours"}
    assert found(account, TagFilters=ASKED) == ours
    assert found(account, TagFilters=ASKED, ResourceTypeFilters=["sns", "s3"]) == ours - {
        "model-package-group/ours"
    }
    assert found(account, TagFilters=ASKED, ResourceTypeFilters=["sagemaker:model-package-group"]) == {
        "model-package-group/ours"
    }
    assert found(account, TagFilters=[{"Key": "eba:event"}]) > ours
    sagemaker.delete_model_package_group(ModelPackageGroupName="ours")
    sns.delete_topic(TopicArn=next(t["TopicArn"] for t in sns.list_topics()["Topics"] if "ours" in str(t)))
    assert found(account, TagFilters=ASKED) == {"a-bucket-of-ours"}


def test_a_token_that_is_none_is_refused(account: Account) -> None:
    with pytest.raises(ClientError, match="PaginationTokenExpiredException"):
        account.client("resourcegroupstaggingapi").get_resources(PaginationToken="x")


def test_a_domain_goes_when_its_applications_have_gone(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    role = account.role("any", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    made = sagemaker.create_domain(
        DomainName="d",
        AuthMode="IAM",
        DefaultUserSettings={"ExecutionRole": role},
        SubnetIds=["subnet-1"],
        VpcId="vpc-1",
    )
    domain = made["DomainArn"].rpartition("/")[2]
    with pytest.raises(ClientError, match="Domain d-none does not exist"):
        sagemaker.create_app(DomainId="d-none", UserProfileName="p", AppType="JupyterLab", AppName="default")
    sagemaker.create_app(DomainId=domain, UserProfileName="p", AppType="JupyterLab", AppName="default")
    [app] = sagemaker.list_apps(DomainIdEquals=domain)["Apps"]
    assert (app["UserProfileName"], app["AppType"], app["Status"]) == ("p", "JupyterLab", "InService")
    with pytest.raises(ClientError, match=r"App\(s\) are associated with it"):
        sagemaker.delete_domain(DomainId=domain)
    sagemaker.delete_app(DomainId=domain, UserProfileName="p", AppType="JupyterLab", AppName="default")
    assert sagemaker.list_apps(DomainIdEquals=domain)["Apps"] == []
    sagemaker.delete_domain(DomainId=domain)


def test_a_policy_goes_when_nobody_has_it(account: Account) -> None:
    iam = account.client("iam")
    account.role("holder", {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    )
    arn = iam.create_policy(PolicyName="p", PolicyDocument=policy)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="holder", PolicyArn=arn)
    with pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_role_policy(RoleName="holder", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
