"""What is personal, what a rule says of facts, and what the catalogue and the guardrails are, asked of a real local AWS."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import DataError, PlanError
from kit.local_aws import process

governance, inventory, personal = load("data_engineering", "governance", "inventory", "personal_data")
FILE = Path(__file__).parents[1] / "data_engineering" / "governance.yml"
MADE = datetime(2026, 12, 1, 9, tzinfo=UTC)
READER = "arn:aws:iam::123456789012:role/Reader"

# Personal data


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("e-mail", "ada@example.com"),
        ("e-mail", "please write to ada.b+c@mail.example.org, thanks"),
        ("phone", "+49 151 12345678"),
        ("phone", "0044 20 7946 0958"),
        ("IBAN", "DE89370400440532013000"),
        ("IBAN", "GB82 WEST 1234 5698 7654 32"),
        ("payment card", "4111 1111 1111 1111"),
        ("payment card", "5500005555555559"),
        ("US social security number", "123-45-6789"),
        ("UK national insurance number", "AB 12 34 56 C"),
        ("Spanish identity number", "12345678Z"),
    ],
)
def test_personal_values_are_found_with_their_kind(kind: str, value: str) -> None:
    found = personal.scan({"column": [value, None]})
    assert found == {"column": personal.Found(kind, 1, 1, "values")}


@pytest.mark.parametrize(
    "value",
    [
        "4111 1111 1111 1112",  # the checksum is wrong
        "DE89370400440532013001",
        "12345678A",
        "000-45-6789",
        "2026-12-01",
        "2026-12-01 09:00:00",
        "C00013195",
        "12345678901234",
        "0.4539578488223345",
        "Asks for a new router, order 12345",
        "😕",
    ],
)
def test_what_only_looks_personal_is_not(value: str) -> None:
    assert personal.scan({"column": [value]}) == {}


def test_one_address_among_a_thousand_comments_is_found() -> None:
    assert personal.scan({"comment": ["fine"] * 1000 + ["ada@example.com"]})["comment"].hits == 1


def test_random_numbers_are_no_cards_although_one_in_ten_passes_the_checksum() -> None:
    assert personal.scan({"serial": [str(4_000_000_000_000_000 + 7919 * n) for n in range(500)]}) == {}


def test_a_name_tells_where_values_are_many_and_no_measurements() -> None:
    many = [f"person {n}" for n in range(30)]
    assert personal.scan({"lastName": many})["lastName"].kind == "name of a person"
    assert personal.scan({"own_telephone": ["yes", "no"] * 50}) == {}
    assert personal.scan({"phone_calls": list(range(100))}) == {}
    assert personal.scan({"email_share": [n / 7 for n in range(100)]}) == {}


@given(st.integers(10**11 + 1, 10**17).filter(lambda n: len(set(str(n))) > 1))
def test_exactly_one_last_digit_passes_luhn(number: int) -> None:
    assert sum(personal.luhn(f"{number}{digit}") for digit in range(10)) == 1


@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.integers()), max_size=20))
def test_a_scan_takes_any_values(values: list[Any]) -> None:
    assert set(personal.scan({"x": values})) <= {"x"}


# The rules, over facts


def test_a_team_governs_its_own_part_of_each_place() -> None:
    file = Path(governance.__file__).with_name("governance.yml")
    personas = ("data-engineer", "data-scientist", "ml-engineer")
    keeps = [
        [zone.keep for zone in governance.read(file, lambda name: f"s3://here/{name}", personas, team)[0]]
        for team in ("", "blue")
    ]
    assert keeps[0][0] == "eba/d1/raw/"
    assert keeps[1] == [f"{keep[:7]}blue/{keep[7:]}" for keep in keeps[0]]


def zone(**changes: Any) -> Any:
    told: dict[str, Any] = {"id": "raw", "uri": "s3://here/eba/d1/raw/abc", "keep": "eba/d1/raw/"}
    told |= {"owner": "data engineer", "retention_days": 30, "readers": ("data-engineer",)}
    return governance.Zone(**told | changes)


GOOD: dict[str, Any] = {
    "objects": {"a": 1},
    "newest": MADE,
    "rows": 10,
    "promised_rows": 10,
    "promised_objects": {"a": 1},
    "ciphers": ["AES256"],
    "parameters": {
        "owner_role": "data engineer",
        "data_classification": "sensitive",
        "retention_days": "30",
        "made_by": f"job x at {MADE.isoformat()}",
        "legal_basis": "contract, file 7",
    },
    "registered": True,
    "readers": [READER],
    "wanted_readers": [READER],
    "features": ["tenure"],
    "personal": ["email"],
}
SAFE: dict[str, Any] = {
    "encrypts": True,
    "policy": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
    "block": dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    ),
    "public": False,
    "versioning": "Enabled",
    "lifecycle": [
        {
            "Status": "Enabled",
            "Filter": {"Prefix": "eba/d1/raw/"},
            "Expiration": {"Days": 30},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        }
    ],
    "tags": {governance.LABEL: "personal"},
}


def failing(facts: dict[str, Any], bucket: dict[str, Any]) -> set[str]:
    results = governance.audited([zone()], governance.RULES, {"raw": facts}, bucket)
    assert all(result.evidence and result.call for result in results)
    return {result.rule for result in results if result.holds is False}


def test_good_facts_fail_no_rule() -> None:
    assert failing(GOOD, SAFE) == set()


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("encryption", {"ciphers": ["AES256", ""]}),
        ("access", {"registered": False}),
        ("access", {"readers": []}),
        ("quality", {"rows": 9}),
        ("quality", {"objects": {"a": 1, "b": 1}}),
        ("lineage", {"newest": MADE + timedelta(hours=1)}),
        ("training", {"features": ["tenure", "email"]}),
    ],
)
def test_a_rule_sees_what_is_wrong_with_a_zone(rule: str, change: dict[str, Any]) -> None:
    assert failing(GOOD | change, SAFE) == {rule}


@pytest.mark.parametrize(
    ("rules", "parameter", "value"),
    [
        ({"catalogue"}, "owner_role", ""),
        ({"catalogue"}, "retention_days", "31"),
        ({"catalogue", "labels"}, "data_classification", ""),
        ({"lineage"}, "made_by", ""),
        ({"consent"}, "legal_basis", ""),
    ],
)
def test_a_rule_sees_what_the_catalogue_lacks(rules: set[str], parameter: str, value: str) -> None:
    assert failing(GOOD | {"parameters": GOOD["parameters"] | {parameter: value}}, SAFE) == rules


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("encryption", {"encrypts": False}),
        ("tls", {"policy": []}),
        ("tls", {"policy": [{**SAFE["policy"][0], "Effect": "Allow"}]}),
        ("tls", {"policy": [{**SAFE["policy"][0], "Action": "s3:GetObject"}]}),
        ("public", {"public": True}),
        ("public", {"block": SAFE["block"] | {"BlockPublicPolicy": False}}),
        ("versions", {"versioning": "Suspended"}),
        ("retention", {"lifecycle": []}),
        ("retention", {"lifecycle": [{**SAFE["lifecycle"][0], "Status": "Disabled"}]}),
        ("retention", {"lifecycle": [{**SAFE["lifecycle"][0], "Expiration": {"Days": 31}}]}),
        ("labels", {"tags": {}}),
        ("labels", {"tags": {governance.LABEL: "internal"}}),
    ],
)
def test_a_rule_sees_what_is_wrong_with_the_bucket(rule: str, change: dict[str, Any]) -> None:
    assert failing(GOOD, SAFE | change) == {rule}


def test_consent_and_training_say_where_they_do_not_apply() -> None:
    facts = copy.deepcopy(GOOD)
    del facts["features"]
    facts["parameters"]["data_classification"] = "internal"
    results = {r.rule: r.holds for r in governance.audited([zone()], governance.RULES, {"raw": facts}, SAFE)}
    assert (results["consent"], results["training"]) == (None, None)


def test_a_failing_rule_gets_a_new_card_once_its_old_ones_are_done() -> None:
    assert governance.open_key("consent", ["retention"]) == "consent"
    assert governance.open_key("consent", ["consent", "consent-2"]) == "consent-3"


# The file


def test_the_events_rules_can_be_read_and_every_rule_has_a_check() -> None:
    zones, rules, days = governance.read(
        FILE, lambda name: f"s3://here/{name}", ["data-engineer", "data-scientist", "ml-engineer"]
    )
    assert [z.uri for z in zones] == [
        f"s3://here/{n}"
        for n in ("D1.raw", "D1.events", "D1.aggregated", "D2.train", "D2.validation", "D2.test")
    ]
    assert set(rules) == set(governance.RULES)
    assert {rule["apply"] for rule in rules.values() if "apply" in rule} == set(governance.REMEDIES)
    assert days > 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  labels:", "  label:", 'no rule "label"'),
        ("apply: grant", "apply: grand", 'no remedy "grand"'),
        ("readers: [data-engineer]", "readers: [engineer]", 'no persona "engineer"'),
        ("old_versions_days: 30", "", "cannot be read"),
        ("    size: M\n", "", "cannot be read"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "governance.yml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PlanError, match=said):
        governance.read(file, lambda name: "s3://here/x", ["data-engineer", "data-scientist", "ml-engineer"])


# The account


class Here:
    """A boto3 session that asks the local AWS at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = boto3.Session("AKIATEST", "secret", region_name="us-east-1")

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.url)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("aws")
    yield Here(process.up(folder).url)
    process.down(folder)


def filled(here: Here, name: str, files: int = 1, rows: int = 10) -> Any:
    """A bucket with a zone of so many Parquet files, each of so many rows in row groups of five."""
    s3 = here.client("s3")
    s3.create_bucket(Bucket=name)
    table = pa.table({"Who": [f"a{n}@example.com" for n in range(rows)], "n": list(range(rows))})
    for number in range(files):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=5)
        s3.put_object(Bucket=name, Key=f"eba/d1/raw/abc/{number:02d}.parquet", Body=buffer.getvalue())
    return zone(id=f"raw_{name}", uri=f"s3://{name}/eba/d1/raw/abc")


def facts_of(here: Here, the_zone: Any) -> dict[str, Any]:
    found: dict[str, Any] = governance.zone_facts(here, the_zone, "eba_data", "aws")
    return found | {"wanted_readers": [READER]}


def put_into_catalogue(here: Here, the_zone: Any, basis: str = "") -> str:
    glue, (schema, values) = here.client("glue"), inventory.sample(here.client("s3"), the_zone, 100)
    if "eba_data" not in [d["Name"] for d in glue.get_databases()["DatabaseList"]]:
        glue.create_database(DatabaseInput={"Name": "eba_data"})
    of = inventory.classes(schema.names, personal.scan(values), [], "")
    said: str = inventory.catalogued(
        glue, "eba_data", inventory.table(the_zone, schema, of, "job x at 2026-12-01T09:00:00+00:00", basis)
    )
    return said


def test_a_sample_is_bounded_and_spread_over_objects_and_row_groups(here: Here) -> None:
    schema, values = inventory.sample(here.client("s3"), filled(here, "sampled", files=30, rows=40), 36)
    assert schema.names == ["Who", "n"]
    assert len(values["n"]) == 36
    assert set(values["n"]) == {0, 10, 25}


def test_an_empty_zone_and_a_file_that_is_no_parquet_are_refused(here: Here) -> None:
    s3, the_zone = here.client("s3"), filled(here, "refused", files=0)
    with pytest.raises(DataError, match="is empty"):
        inventory.sample(s3, the_zone, 10)
    s3.put_object(Bucket="refused", Key="eba/d1/raw/abc/notes.txt", Body=b"this is not Parquet, but a note")
    with pytest.raises(DataError, match=r"notes\.txt is no Parquet"):
        inventory.sample(s3, the_zone, 10)


def test_a_table_is_made_once_and_keeps_the_legal_basis_that_somebody_recorded(here: Here) -> None:
    the_zone = filled(here, "listed")
    assert put_into_catalogue(here, the_zone) == "made"
    assert put_into_catalogue(here, the_zone) == "as it was"
    assert put_into_catalogue(here, the_zone, basis="contract") == "changed"
    assert put_into_catalogue(here, the_zone) == "as it was"
    table = here.client("glue").get_table(DatabaseName="eba_data", Name=the_zone.id)["Table"]
    told = table["Parameters"]
    assert (told["legal_basis"], told["data_classification"]) == ("contract", "personal")
    assert [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]] == [
        ("who", "string"),
        ("n", "bigint"),
    ]


def test_facts_of_an_account_without_anything_are_gaps_not_failures(here: Here) -> None:
    the_zone = filled(here, "bare", files=2)
    facts = facts_of(here, the_zone)
    assert (facts["rows"], facts["parameters"], facts["registered"], facts["readers"]) == (20, {}, False, [])
    results = governance.audited(
        [the_zone],
        governance.RULES,
        {the_zone.id: facts | {"promised_rows": 20}},
        governance.bucket_facts(here.client("s3"), "bare"),
    )
    gaps = {result.rule for result in results if result.holds is False}
    assert {
        "catalogue",
        "tls",
        "versions",
        "retention",
        "labels",
        "access",
        "lineage",
        "consent",
    } <= gaps


def test_guardrails_hold_once_applied_can_be_applied_again_and_leave_the_rest_alone(here: Here) -> None:
    the_zone, s3 = filled(here, "guarded"), here.client("s3")
    put_into_catalogue(here, the_zone)
    other = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(Bucket="guarded", LifecycleConfiguration={"Rules": [other]})
    s3.put_bucket_tagging(Bucket="guarded", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]})
    rules = ("retention", "labels", "access")

    def held() -> set[bool]:
        facts, bucket = {the_zone.id: facts_of(here, the_zone)}, governance.bucket_facts(s3, "guarded")
        return {result.holds for result in governance.audited([the_zone], rules, facts, bucket)}

    assert held() == {False}
    context = {"old_versions_days": 7, "database": "eba_data", "partition": "aws"}
    for _ in range(2):
        for remedy in governance.REMEDIES.values():
            remedy(here, [the_zone], {the_zone.id: facts_of(here, the_zone)}, context)
        assert held() == {True}
    bucket = governance.bucket_facts(s3, "guarded")
    assert bucket["tags"] == {"team": "a", governance.LABEL: "personal"}
    assert sorted(rule["ID"] for rule in bucket["lifecycle"]) == [f"eba-{the_zone.id}", "theirs"]


def test_nobody_made_a_zone_that_no_job_wrote_to(here: Here) -> None:
    assert inventory.job_that_made(here.client("sagemaker"), zone(), "eba-d2-prepare") == ""


def test_teams_keep_what_is_theirs_for_as_long_as_each_says(here: Here) -> None:
    s3 = here.client("s3")
    s3.create_bucket(Bucket="two-teams")
    for team, days in (("blue", 30), ("green", 60), ("blue", 30)):
        own = {"uri": "s3://two-teams/x", "keep": f"eba/d1/{team}/raw/", "team": team, "retention_days": days}
        governance.keep_no_longer(here, [zone(**own)], {}, {"old_versions_days": 7})
    rules = governance.bucket_facts(s3, "two-teams")["lifecycle"]
    assert sorted((r["ID"], r["Filter"]["Prefix"], r["Expiration"]["Days"]) for r in rules) == [
        ("eba-blue-raw", "eba/d1/blue/raw/", 30),
        ("eba-green-raw", "eba/d1/green/raw/", 60),
    ]
