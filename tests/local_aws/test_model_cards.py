"""Model cards through the real client: versions, what is refused, and the SDK's own resource."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

CARD = {"model_overview": {"model_description": "first"}, "intended_uses": {"risk_rating": "Low"}}


def content(description: str) -> str:
    return json.dumps({**CARD, "model_overview": {"model_description": description}})


@pytest.fixture
def client(boto: Callable[..., Any]) -> Any:
    return boto("sagemaker")


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def make(client: Any, name: str, **more: Any) -> str:
    params = {"ModelCardStatus": "Draft", "Content": content("first"), **more}
    return str(client.create_model_card(ModelCardName=name, **params)["ModelCardArn"])


def test_new_content_is_a_new_version_and_the_old_one_stays(client: Any) -> None:
    arn = make(client, "kept")
    client.update_model_card(ModelCardName="kept", Content=content("second"))
    latest = client.describe_model_card(ModelCardName=arn)
    assert (latest["ModelCardVersion"], json.loads(latest["Content"])["model_overview"]) == (
        2,
        {"model_description": "second"},
    )
    first = client.describe_model_card(ModelCardName="kept", ModelCardVersion=1)
    assert json.loads(first["Content"]) == CARD
    assert first["CreationTime"] == latest["CreationTime"] < latest["LastModifiedTime"]


def test_a_new_status_is_no_new_version(client: Any) -> None:
    make(client, "approved")
    client.update_model_card(ModelCardName="approved", ModelCardStatus="Approved")
    card = client.describe_model_card(ModelCardName="approved")
    assert (card["ModelCardVersion"], card["ModelCardStatus"]) == (1, "Approved")


def test_cards_and_versions_are_listed(client: Any) -> None:
    make(client, "listed-a", Tags=[{"Key": "eba:card", "Value": "O1"}])
    make(client, "listed-b")
    for word in ("two", "three"):
        client.update_model_card(ModelCardName="listed-a", Content=content(word))
    client.update_model_card(ModelCardName="listed-a", ModelCardStatus="PendingReview")
    names = [
        c["ModelCardName"]
        for c in client.list_model_cards(NameContains="listed", SortBy="Name", SortOrder="Ascending")[
            "ModelCardSummaries"
        ]
    ]
    assert names == ["listed-a", "listed-b"]

    def versions(**params: Any) -> list[int]:
        answer = client.list_model_card_versions(ModelCardName="listed-a", **params)
        return [v["ModelCardVersion"] for v in answer["ModelCardVersionSummaryList"]]

    assert versions(SortOrder="Ascending") == [1, 2, 3]
    assert versions(ModelCardStatus="Draft", SortOrder="Ascending") == [1, 2]
    first = client.describe_model_card(ModelCardName="listed-a", ModelCardVersion=1)
    assert versions(CreationTimeBefore=first["CreationTime"]) == [1]
    arn = first["ModelCardArn"]
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "eba:card", "Value": "O1"}]


def test_deleted_card_is_gone(client: Any) -> None:
    make(client, "gone")
    client.delete_model_card(ModelCardName="gone")
    assert refused(client.describe_model_card, ModelCardName="gone")[0] == "ResourceNotFound"
    assert refused(client.update_model_card, ModelCardName="gone", Content=content("x"))[0] == (
        "ResourceNotFound"
    )


def test_name_that_is_taken_is_a_conflict(client: Any) -> None:
    make(client, "taken")
    params = {"ModelCardName": "taken", "ModelCardStatus": "Draft", "Content": content("again")}
    assert refused(client.create_model_card, **params)[0] == "ConflictException"


def test_version_that_is_not_there_is_not_found(client: Any) -> None:
    make(client, "single")
    assert refused(client.describe_model_card, ModelCardName="single", ModelCardVersion=2)[0] == (
        "ResourceNotFound"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({"overview": {}}), "overview"),
        (json.dumps({"model_overview": "churn"}), "model_overview is not what the schema says"),
        (json.dumps({"intended_uses": {"risk_rating": "Some"}}), "'Some' is none of"),
        (json.dumps(CARD, indent=1), "regular expression pattern: .*"),
    ],
)
def test_content_that_the_schema_does_not_allow_is_refused(client: Any, text: str, said: str) -> None:
    code, message = refused(
        client.create_model_card, ModelCardName="bad", ModelCardStatus="Draft", Content=text
    )
    assert code == "ValidationException"
    assert said in message


def test_content_and_status_do_not_change_together(client: Any) -> None:
    make(client, "both")
    code, message = refused(
        client.update_model_card, ModelCardName="both", Content=content("x"), ModelCardStatus="Approved"
    )
    assert code == "ValidationException"
    assert "both model card content and model card status" in message


def test_archived_card_takes_no_new_content(client: Any) -> None:
    make(client, "archived", ModelCardStatus="Archived")
    assert refused(client.update_model_card, ModelCardName="archived", Content=content("x"))[0] == (
        "ConflictException"
    )
