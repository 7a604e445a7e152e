from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws import protocol
from kit.local_aws.front import App, handler_of
from kit.local_aws.kinds import KINDS, kind_of, plural
from kit.local_aws.protocol import AwsError, missing, operation, problems, shaped
from kit.local_aws.store import Context, Store

ROLE = "arn:aws:iam::123456789012:role/builder"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    return App(tmp_path_factory.mktemp("aws"), "123456789012")


@pytest.fixture
def ctx(app: App) -> Context:
    app.store = Store()
    return Context(app, "123456789012", "us-east-1", "AKIA")


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"ModelName": name, "ExecutionRoleArn": ROLE, **more}


# One request that makes a resource of each kind that is only kept, and one change where the API has an Update.
STORED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Model": (model("m", PrimaryContainer={"Image": "image"}), {}),
    "EndpointConfig": (
        {
            "EndpointConfigName": "c",
            "ProductionVariants": [
                {
                    "VariantName": "all",
                    "ModelName": "m",
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                }
            ],
        },
        {},
    ),
    "ModelPackageGroup": ({"ModelPackageGroupName": "g"}, {}),
    "Domain": (
        {"DomainName": "d", "AuthMode": "IAM", "DefaultUserSettings": {"ExecutionRole": ROLE}},
        {"DefaultUserSettings": {"SecurityGroups": ["sg-1"]}},
    ),
    "UserProfile": ({"DomainId": "?", "UserProfileName": "u"}, {"UserSettings": {"ExecutionRole": ROLE}}),
    "Space": ({"DomainId": "?", "SpaceName": "s"}, {"SpaceDisplayName": "Room"}),
    "App": ({"DomainId": "?", "SpaceName": "s", "AppType": "JupyterLab", "AppName": "default"}, {}),
    "AppImageConfig": ({"AppImageConfigName": "i"}, {"JupyterLabAppImageConfig": {}}),
    "StudioLifecycleConfig": (
        {
            "StudioLifecycleConfigName": "l",
            "StudioLifecycleConfigContent": "ZWNobw==",
            "StudioLifecycleConfigAppType": "JupyterLab",
        },
        {},
    ),
    "NotebookInstanceLifecycleConfig": (
        {"NotebookInstanceLifecycleConfigName": "n"},
        {"OnStart": [{"Content": "ZWNobw=="}]},
    ),
    "NotebookInstance": (
        {
            "NotebookInstanceName": "n",
            "InstanceType": "ml.t3.medium",
            "RoleArn": ROLE,
            "DirectInternetAccess": "Disabled",
        },
        {"InstanceType": "ml.t3.large"},
    ),
    "CodeRepository": (
        {"CodeRepositoryName": "r", "GitConfig": {"RepositoryUrl": "https://example.com/r.git"}},
        {"GitConfig": {"SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}},
    ),
    "Experiment": ({"ExperimentName": "e"}, {"Description": "about"}),
    "Trial": ({"TrialName": "t", "ExperimentName": "e"}, {"DisplayName": "about"}),
    "TrialComponent": ({"TrialComponentName": "t"}, {"DisplayName": "about"}),
}


CHECKED = (
    "Model",
    "EndpointConfig",
)  # their Create looks at roles and models first, and has tests of its own


def act(ctx: Context, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """What the handler of an action answers to a valid request."""
    shape = operation("sagemaker", name)
    assert problems(shape.input_shape, params) == []
    handler = handler_of("sagemaker", name)
    assert handler is not None, name
    answer: dict[str, Any] = shaped(shape.output_shape, dict(handler(ctx, params) or {}))
    assert missing(shape.output_shape, answer) == []
    return answer


def test_the_table_here_has_each_kind_that_is_only_kept() -> None:
    assert set(STORED) == {name for name, kind in KINDS.items() if kind.stored}


@pytest.mark.parametrize("kind", STORED)
def test_a_stored_kind_can_be_made_described_listed_changed_tagged_and_deleted(
    ctx: Context, kind: str
) -> None:
    params, change = STORED[kind]
    for member, parent in KINDS[kind].parents.items():
        params = params | {member: act(ctx, f"Create{parent}", STORED[parent][0]).get(member, params[member])}
    actions = protocol.service("sagemaker").operation_names  # type: ignore[union-attr]
    facts = KINDS[kind]
    tagged = {"Tags": [{"Key": "team", "Value": "a"}]}
    takes_tags = "Tags" in operation("sagemaker", f"Create{kind}").input_shape.members
    params_and_tags = params | (tagged if takes_tags else {})
    if kind in CHECKED:
        made = ctx.app.store.create(ctx, kind, params_and_tags)
    else:
        made = act(ctx, f"Create{kind}", params_and_tags)
    arn = made[facts.arn_member]
    named = {name: (params | made)[name] for name in facts.keys if name in params | made}

    described = act(ctx, f"Describe{kind}", named)
    assert described[facts.arn_member] == arn
    assert params.items() <= described.items()
    assert "Tags" not in described

    assert act(ctx, "ListTags", {"ResourceArn": arn})["Tags"] == (tagged["Tags"] if takes_tags else [])
    (rows,) = act(ctx, f"List{plural(kind)}", {}).values()
    assert [{name: row[name] for name in named} for row in rows] == [named]

    if f"Update{kind}" in actions:
        assert change, "the API has an Update: give it something to change"
        act(ctx, f"Update{kind}", named | change)
        after = act(ctx, f"Describe{kind}", named)
        assert after | change == after or all(change[k].items() <= after[k].items() for k in change)
        assert after["LastModifiedTime"] >= described["CreationTime"]

    with pytest.raises(AwsError) as taken:
        ctx.app.store.create(ctx, kind, params, **{k: v for k, v in made.items() if k in facts.mint})
    errors = [shape.name for shape in operation("sagemaker", f"Create{kind}").error_shapes]
    assert taken.value.code == ("ResourceInUse" if "ResourceInUse" in errors else "ValidationException")

    act(ctx, f"Delete{kind}", named)
    with pytest.raises(AwsError) as gone:
        act(ctx, f"Describe{kind}", named)
    errors = [shape.name for shape in operation("sagemaker", f"Describe{kind}").error_shapes]
    assert gone.value.code == ("ResourceNotFound" if "ResourceNotFound" in errors else "ValidationException")


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("TrainingJob", "ValidationException", "Requested resource not found."),
        ("ProcessingJob", "ValidationException", "Could not find requested job with name: Nope"),
        ("Endpoint", "ValidationException", f'Could not find endpoint "{ARN}endpoint/nope".'),
        (
            "EndpointConfig",
            "ValidationException",
            f'Could not find endpoint configuration "{ARN}endpoint-config/nope".',
        ),
        ("Model", "ValidationException", f'Could not find model "{ARN}model/nope".'),
        (
            "ModelPackageGroup",
            "ValidationException",
            f"ModelPackageGroup {ARN}model-package-group/nope does not exist.",
        ),
        (
            "FeatureGroup",
            "ResourceNotFound",
            "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name Nope",
        ),
        ("Experiment", "ResourceNotFound", "Experiment 'Nope' does not exist."),
    ],
)
def test_what_is_missing_is_told_as_aws_tells_it(ctx: Context, kind: str, code: str, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        ctx.app.store.get(ctx, kind, "Nope")
    assert (caught.value.code, caught.value.message, caught.value.status) == (code, message, 400)


def test_what_is_taken_is_told_as_aws_tells_it(ctx: Context) -> None:
    store = ctx.app.store
    store.create(ctx, "Model", model("My-Model"))
    with pytest.raises(AwsError, match="Cannot create already existing model"):
        store.create(ctx, "Model", model("my-MODEL"))
    store.create(ctx, "TrainingJob", {"TrainingJobName": "j"})
    with pytest.raises(
        AwsError, match="Training job names must be unique within an AWS account and region"
    ) as caught:
        store.create(ctx, "TrainingJob", {"TrainingJobName": "j"})
    assert caught.value.code == "ResourceInUse"


def test_a_name_is_found_in_any_case_and_by_its_arn_but_only_where_it_was_made(ctx: Context) -> None:
    store = ctx.app.store
    made = store.create(ctx, "TrainingJob", {"TrainingJobName": "My-Job"})
    assert made["TrainingJobArn"] == f"{ARN}training-job/my-job"
    assert store.get(ctx, "TrainingJob", "my-job")["TrainingJobName"] == "My-Job"
    assert store.find(ctx, "TrainingJob", made["TrainingJobArn"]) == made
    assert store.find(Context(ctx.app, ctx.account, "eu-west-1"), "TrainingJob", "my-job") is None
    assert store.find(Context(ctx.app, "210987654321", "us-east-1"), "TrainingJob", "my-job") is None


@pytest.mark.parametrize(
    ("kind", "key", "arn"),
    [
        ("HyperParameterTuningJob", "t", "hyper-parameter-tuning-job/t"),
        ("EndpointConfig", "c", "endpoint-config/c"),
        ("Trial", "t", "experiment-trial/t"),
        ("UserProfile", "d-1/u", "user-profile/d-1/u"),
        ("ModelPackage", "g/3", "model-package/g/3"),
        ("MlflowTrackingServer", "s", "mlflow-tracking-server/s"),
    ],
)
def test_an_arn_is_written_as_the_model_says(kind: str, key: str, arn: str) -> None:
    written = kind_of(kind).arn_of("123456789012", "us-east-1", key)
    assert written == ARN + arn


def test_what_a_handler_got_does_not_change_under_it_and_cannot_change_the_store(ctx: Context) -> None:
    store = ctx.app.store
    before = store.create(ctx, "Model", model("m"))
    store.update(ctx, "Model", "m", Description="new")
    assert "Description" not in before
    before["ExecutionRoleArn"] = "other"
    assert store.get(ctx, "Model", "m")["ExecutionRoleArn"] == ROLE


def test_an_update_may_depend_on_the_record_and_may_be_none(ctx: Context) -> None:
    store = ctx.app.store
    store.create(ctx, "TrainingJob", {"TrainingJobName": "j"}, TrainingJobStatus="InProgress", count=0)

    def add(record: dict[str, Any]) -> dict[str, Any]:
        return {"count": record["count"] + 1}

    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            pool.submit(store.update, ctx, "TrainingJob", "j", add)
    assert store.get(ctx, "TrainingJob", "j")["count"] == 200
    before = store.get(ctx, "TrainingJob", "j")
    assert store.update(ctx, "TrainingJob", "j", lambda record: {}) == before


def test_of_many_who_make_one_name_at_once_one_does(ctx: Context) -> None:
    def make(_: int) -> str:
        try:
            ctx.app.store.create(ctx, "Model", model("m"))
        except AwsError as error:
            return error.code
        return "made"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(make, range(64))) == {"made": 1, "ValidationException": 63}


def test_profiles_need_their_domain_and_a_domain_with_profiles_stays(ctx: Context) -> None:
    with pytest.raises(AwsError, match="Domain d-none does not exist"):
        act(ctx, "CreateUserProfile", {"DomainId": "d-none", "UserProfileName": "u"})
    domain = act(ctx, "CreateDomain", STORED["Domain"][0])
    assert domain["Url"] == f"https://{domain['DomainId']}.studio.us-east-1.sagemaker.aws"
    profile = {"DomainId": domain["DomainId"], "UserProfileName": "u"}
    act(ctx, "CreateUserProfile", profile)
    with pytest.raises(AwsError, match="UserProfile") as caught:
        act(ctx, "DeleteDomain", {"DomainId": domain["DomainId"]})
    assert caught.value.code == "ResourceInUse"
    act(ctx, "DeleteUserProfile", profile)
    act(ctx, "DeleteDomain", {"DomainId": domain["DomainId"]})


def test_tags_are_added_replaced_paged_and_taken_off(ctx: Context) -> None:
    arn = ctx.app.store.create(ctx, "Model", model("m"))["ModelArn"]
    tags = [{"Key": f"k{i:02}", "Value": "v"} for i in range(7)]
    act(ctx, "AddTags", {"ResourceArn": arn, "Tags": tags})
    answer = act(ctx, "AddTags", {"ResourceArn": arn, "Tags": [{"Key": "k00", "Value": "new"}]})
    assert len(answer["Tags"]) == 7
    first = act(ctx, "ListTags", {"ResourceArn": arn, "MaxResults": 50})
    assert first["Tags"][0] == {"Key": "k00", "Value": "new"}
    act(ctx, "DeleteTags", {"ResourceArn": arn, "TagKeys": ["k00", "k01", "never"]})
    assert [tag["Key"] for tag in ctx.app.store.tags(arn)] == ["k02", "k03", "k04", "k05", "k06"]
    with pytest.raises(AwsError, match="Could not find resource"):
        act(ctx, "ListTags", {"ResourceArn": f"{ARN}model/none"})


def test_a_deleted_resource_takes_its_tags_along(ctx: Context) -> None:
    store = ctx.app.store
    store.create(ctx, "Model", model("m", Tags=[{"Key": "a", "Value": "b"}]))
    store.delete(ctx, "Model", "m")
    assert store.tags(store.create(ctx, "Model", model("m"))["ModelArn"]) == []


@settings(max_examples=50, deadline=None)
@given(
    names=st.lists(st.sampled_from([f"m{i}" for i in range(30)]), unique=True, max_size=20),
    size=st.integers(1, 7),
    by=st.sampled_from(["Name", "CreationTime"]),
    order=st.sampled_from(["Ascending", "Descending"]),
)
def test_pages_hold_every_row_once_in_order(names: list[str], size: int, by: str, order: str) -> None:
    store = Store()
    ctx = Context(None, "123456789012", "us-east-1")  # type: ignore[arg-type]
    for name in names:
        store.create(ctx, "Model", model(name))
    got: list[str] = []
    asked: dict[str, Any] = {"MaxResults": size, "SortBy": by, "SortOrder": order}
    while True:
        page = store.listing(ctx, "Model", asked, "ListModels")
        assert len(page["Models"]) <= size
        got += [row["ModelName"] for row in page["Models"]]
        if "NextToken" not in page:
            break
        asked["NextToken"] = page["NextToken"]
    assert sorted(got) == sorted(names)
    if by == "Name":
        assert got == sorted(names, reverse=order == "Descending")


def test_a_page_goes_on_where_it_stopped_although_rows_came_and_went(ctx: Context) -> None:
    store = ctx.app.store
    for name in "bcdef":
        store.create(ctx, "Model", model(name))
    asked = {"MaxResults": 2, "SortBy": "Name", "SortOrder": "Ascending"}
    first = store.listing(ctx, "Model", asked, "ListModels")
    store.delete(ctx, "Model", "c")
    store.create(ctx, "Model", model("a"))
    rest = store.listing(ctx, "Model", {**asked, "NextToken": first["NextToken"]}, "ListModels")
    assert [row["ModelName"] for row in rest["Models"]] == ["d", "e"]


@pytest.mark.parametrize("token", ["?", "NQ==", "WzFd", "é"])
def test_a_token_that_is_none_is_refused(ctx: Context, token: str) -> None:
    with pytest.raises(AwsError, match="Invalid pagination token"):
        ctx.app.store.listing(ctx, "Model", {"NextToken": token}, "ListModels")


def test_a_list_is_filtered_as_its_request_asks(ctx: Context) -> None:
    store = ctx.app.store
    first = store.create(ctx, "TrainingJob", {"TrainingJobName": "Alpha-1"}, TrainingJobStatus="Completed")
    store.create(ctx, "TrainingJob", {"TrainingJobName": "beta-2"}, TrainingJobStatus="Failed")

    def names(**params: Any) -> list[str]:
        answer = store.listing(ctx, "TrainingJob", params, "ListTrainingJobs")
        return [row["TrainingJobName"] for row in answer["TrainingJobSummaries"]]

    assert names(NameContains="alpha") == ["Alpha-1"]
    assert names(StatusEquals="Failed") == ["beta-2"]
    assert names(CreationTimeAfter=first["CreationTime"] + timedelta(hours=1)) == []
    assert names(CreationTimeBefore=first["CreationTime"] + timedelta(hours=1)) == ["Alpha-1", "beta-2"]
    assert names(SortBy="Status", SortOrder="Descending") == ["beta-2", "Alpha-1"]


def test_profiles_are_listed_by_domain(ctx: Context) -> None:
    one, two = (act(ctx, "CreateDomain", STORED["Domain"][0])["DomainId"] for _ in range(2))
    for domain, name in ((one, "ann"), (one, "bob"), (two, "ann")):
        act(ctx, "CreateUserProfile", {"DomainId": domain, "UserProfileName": name})
    rows = act(ctx, "ListUserProfiles", {"DomainIdEquals": one})["UserProfiles"]
    assert {row["UserProfileName"] for row in rows} == {"ann", "bob"}
    rows = act(ctx, "ListUserProfiles", {"UserProfileNameContains": "AN"})["UserProfiles"]
    assert [row["DomainId"] for row in rows] == [two, one] or [row["DomainId"] for row in rows] == [one, two]


def test_without_being_told_a_list_has_the_order_of_the_documentation(ctx: Context) -> None:
    store = ctx.app.store
    for name in "ab":
        store.create(
            ctx,
            "TrainingJob",
            {"TrainingJobName": name},
            CreationTime=protocol.now() + timedelta(hours=ord(name)),
        )
        store.create(ctx, "Model", model(name), CreationTime=protocol.now() + timedelta(hours=ord(name)))
    jobs = store.listing(ctx, "TrainingJob", {}, "ListTrainingJobs")["TrainingJobSummaries"]
    models = store.listing(ctx, "Model", {}, "ListModels")["Models"]
    assert [row["TrainingJobName"] for row in jobs] == ["a", "b"]
    assert [row["ModelName"] for row in models] == ["b", "a"]


def test_who_waits_for_a_resource_is_woken_by_its_status_and_by_nothing_else(ctx: Context) -> None:
    store = ctx.app.store
    arn = store.create(ctx, "TrainingJob", {"TrainingJobName": "j"}, TrainingJobStatus="InProgress")["_arn"]
    store.create(ctx, "TrainingJob", {"TrainingJobName": "other"}, TrainingJobStatus="InProgress")
    since = store.version
    woken = threading.Event()

    def wait() -> None:
        if store.wait(since, [arn], 30):
            woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    store.update(ctx, "TrainingJob", "other", TrainingJobStatus="Failed")
    store.update(ctx, "TrainingJob", "j", FinalMetricDataList=[])
    store.update(ctx, "TrainingJob", "j", TrainingJobStatus="InProgress")
    assert not woken.wait(0.1)
    store.update(ctx, "TrainingJob", "j", TrainingJobStatus="Completed")
    assert woken.wait(30)
    waiter.join()


def test_a_change_between_the_answer_and_the_wait_is_not_slept_through(ctx: Context) -> None:
    store = ctx.app.store
    arn = store.create(ctx, "Endpoint", {"EndpointName": "e"}, EndpointStatus="Creating")["_arn"]
    since = store.version
    store.update(ctx, "Endpoint", "e", EndpointStatus="InService")
    assert store.wait(since, [arn], 30)
    assert not store.wait(store.version, [arn], 0.01)
    store.delete(ctx, "Endpoint", "e")
    assert store.wait(since + 1, [arn], 30)


def test_it_is_known_whether_anything_is_under_way(ctx: Context) -> None:
    store = ctx.app.store
    arn = store.create(ctx, "TrainingJob", {"TrainingJobName": "j"}, TrainingJobStatus="InProgress")["_arn"]
    done = store.create(ctx, "TrainingJob", {"TrainingJobName": "k"}, TrainingJobStatus="Completed")["_arn"]
    assert store.moving()
    assert store.moving([arn])
    assert not store.moving([done])
    store.update(ctx, "TrainingJob", "j", TrainingJobStatus="Stopped")
    assert not store.moving()
    assert store.count("TrainingJob") == 2
    assert store.count("TrainingJob", "TrainingJobStatus", "Stopped", "Failed") == 1


def test_the_app_needs_no_folder_to_be_there_before_it_is_used(tmp_path: Path) -> None:
    assert App(tmp_path / "not" / "yet", "123456789012").status()["jobs"] == 0
