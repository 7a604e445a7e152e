"""Athena as its clients meet it: queries that begin, end, are stopped, and their results."""

from __future__ import annotations

import csv
import io
import json
import uuid
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from lab import BUCKET, REGION, Lab
from querying import OUT, PEOPLE, Athena


@pytest.mark.usefixtures("people")
def test_a_query_answers_typed_columns_a_header_and_values_as_athena_writes_them(athena: Athena) -> None:
    done = athena.run("SELECT id, Name, amount, id / 2, count(*) OVER () AS n FROM People ORDER BY id")
    assert done["Status"]["State"] == "SUCCEEDED"
    assert (done["StatementType"], done["SubstatementType"]) == ("DML", "SELECT")
    page = athena.page(done["QueryExecutionId"])
    assert page["types"] == [
        ("id", "bigint"),
        ("Name", "varchar"),
        ("amount", "double"),
        ("_col3", "bigint"),
        ("n", "bigint"),
    ]
    assert page["rows"] == [
        ["id", "Name", "amount", "_col3", "n"],
        ["1", "ann", "1.5", "0", "3"],
        ["2", None, "2.0E7", "1", "3"],
        ["3", 'b"o,b', "-0.25", "1", "3"],
    ]
    info = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"][0]
    assert (info["CatalogName"], info["Precision"], info["Nullable"]) == ("hive", 19, "UNKNOWN")
    assert done["Statistics"]["DataScannedInBytes"] == len(PEOPLE)
    assert done["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"


@pytest.mark.usefixtures("people")
def test_the_result_lies_in_s3_as_csv_beside_its_metadata(athena: Athena) -> None:
    done = athena.run("SELECT id, name FROM people ORDER BY id")
    where = done["ResultConfiguration"]["OutputLocation"]
    assert where == f"{OUT}{done['QueryExecutionId']}.csv"
    assert athena.lab.get(where).decode() == '"id","name"\n"1","ann"\n"2",\n"3","b""o,b"\n'
    columns = json.loads(athena.lab.get(f"{where}.metadata"))["columns"]
    assert [column[:2] for column in columns] == [["id", "bigint"], ["name", "varchar"]]


def test_pages_follow_each_other_to_the_last_row(athena: Athena) -> None:
    sql = "SELECT x, cast(x AS varchar) || 'ü\n\"' AS t FROM unnest(sequence(1, 2500)) AS s(x)"
    done = athena.run(sql)
    found, token, sizes = [], None, []
    while True:
        more = {"NextToken": token} if token else {}
        page = athena.page(done["QueryExecutionId"], MaxResults=700, **more)
        found += page["rows"]
        sizes.append(len(page["rows"]))
        token = page.get("NextToken")
        if not token:
            break
    assert sizes == [700, 700, 700, 401]
    assert found == [["x", "t"], *([str(x), f'{x}ü\n"'] for x in range(1, 2501))]
    default = athena.page(done["QueryExecutionId"])
    assert len(default["rows"]) == 1000
    with pytest.raises(ClientError, match="Invalid pagination token"):
        athena.page(done["QueryExecutionId"], NextToken="nonsense")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM nothing", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{db}.nothing' does not exist"),
        ("SELECT *\nFROM no.there", "SCHEMA_NOT_FOUND: line 2:9: Schema 'no' does not exist"),
        ("SELECT id, nope FROM people", "COLUMN_NOT_FOUND: line 1:12: Column 'nope' cannot be resolved or requester is not authorized to access requested resources"),
        ("SELECT p.nope FROM people p", "COLUMN_NOT_FOUND: line 1:10: Column 'nope' cannot be resolved or requester is not authorized to access requested resources"),
        ("SELECT id, count(*) FROM people", "EXPRESSION_NOT_AGGREGATE: line 1:8: 'id' must be an aggregate expression or appear in GROUP BY clause"),
        ("SELECT ifnull(id, 1) FROM people", "FUNCTION_NOT_FOUND: line 1:8: Function 'ifnull' not registered"),
        ("SELECT cast('x' AS bigint)", "INVALID_CAST_ARGUMENT: Cannot cast 'x' to bigint"),
        ("SELECT id / 0 FROM people", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT * FROM people ORDER BY nope", "COLUMN_NOT_FOUND: line 1:31: Column 'nope' cannot be resolved or requester is not authorized to access requested resources"),
        ("INSERT INTO people SELECT 1", "NOT_SUPPORTED: The local AWS does not run INSERT statements"),
        ("DROP TABLE nothing", "FAILED: SemanticException [Error 10001]: Table not found nothing"),
        ("SHOW TABLES IN nowhere", "FAILED: SemanticException [Error 10072]: Database does not exist: nowhere"),
        ("SHOW PARTITIONS people", "FAILED: SemanticException [Error 10241]: Table people is not a partitioned table"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_fails_in_athenas_words(athena: Athena, sql: str, said: str) -> None:
    assert athena.why(sql) == said.replace("{db}", athena.database)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "line 1:1: mismatched input 'SELEC'"),
        ("SELECT * FROM", "mismatched input"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("CREATE TABLE t (a int)", "mismatched input 'TABLE'. Expecting: 'EXTERNAL'"),
        ("SELECT ?", "Incorrect number of parameters: expected 1 but found 0"),
    ],
)
def test_what_is_no_statement_is_refused_before_it_runs(athena: Athena, sql: str, said: str) -> None:
    with pytest.raises(athena.client.exceptions.InvalidRequestException, match=said.split("'")[0]) as caught:
        athena.start(sql)
    assert said in str(caught.value)
    assert caught.value.response["AthenaErrorCode"] == "MALFORMED_QUERY"


def test_a_query_that_runs_is_stopped_and_its_process_ends(athena: Athena) -> None:
    long = "SELECT sum(sqrt(i * j)) FROM unnest(sequence(1, 3000000)) a(i) CROSS JOIN unnest(sequence(1, 3000000)) b(j)"
    identifier = athena.start(long)
    athena.lab.until(
        lambda: athena.client.get_query_execution(QueryExecutionId=identifier)["QueryExecution"]["Status"],
        "State",
        "RUNNING",
    )
    with pytest.raises(ClientError, match="Current state: RUNNING"):
        athena.page(identifier)
    athena.client.stop_query_execution(QueryExecutionId=identifier)
    status = athena.ended(identifier)["Status"]
    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        athena.page(identifier)
    athena.client.stop_query_execution(QueryExecutionId=identifier)  # once more is no error
    assert athena.rows("SELECT 1") == [["1"]]  # its place is free


def test_a_query_is_begun_once_for_a_token(athena: Athena) -> None:
    token = uuid.uuid4().hex
    first = athena.start("SELECT 1", ClientRequestToken=token)
    assert athena.start("SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        athena.start("SELECT 2", ClientRequestToken=token)


def test_a_workgroup_says_where_results_go_and_how_much_is_read(athena: Athena) -> None:
    name = f"team-{athena.database}"
    settings = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/team/"}}
    athena.client.create_work_group(Name=name, Configuration=settings)
    done = athena.run("SELECT 1", WorkGroup=name)
    assert done["ResultConfiguration"]["OutputLocation"].startswith(f"s3://{BUCKET}/team/")
    assert done["WorkGroup"] == name
    listed = athena.client.list_query_executions(WorkGroup=name)["QueryExecutionIds"]
    assert listed == [done["QueryExecutionId"]]
    small = f"small-{athena.database}"
    limit = 10_000_000  # the least that can be said
    athena.client.create_work_group(
        Name=small, Configuration={**settings, "BytesScannedCutoffPerQuery": limit}
    )
    place = athena.put("large/a.csv", "1234567\n" * (limit // 8 + 1))
    athena.table("large", "n int", place)
    assert athena.why("SELECT * FROM large", WorkGroup=small) == "Bytes scanned limit was exceeded"
    with pytest.raises(ClientError, match="WorkGroup nobody is not found"):
        athena.start("SELECT 1", WorkGroup="nobody")


def test_a_query_without_a_place_for_its_result_is_refused(athena: Athena) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        athena.start("SELECT 1", ResultConfiguration={})
    with pytest.raises(ClientError, match="Unable to verify/create output bucket nowhere"):
        athena.start("SELECT 1", ResultConfiguration={"OutputLocation": "s3://nowhere/x"})
    with pytest.raises(ClientError, match="was not found"):
        athena.client.get_query_execution(QueryExecutionId=str(uuid.uuid4()))


@pytest.mark.usefixtures("people")
def test_parameters_take_the_place_of_question_marks(athena: Athena) -> None:
    rows = athena.rows(
        "SELECT name FROM people WHERE id = ? AND name = ?", ExecutionParameters=["1", "'ann'"]
    )
    assert rows == [["ann"]]


def test_a_query_reads_nothing_but_its_tables(athena: Athena, local_file: str) -> None:
    assert "Function 'read_csv' not registered" in athena.why(f"SELECT * FROM read_csv('{local_file}')")
    assert "does not exist" in athena.why(f'SELECT * FROM "{local_file}"')


@pytest.fixture
def local_file(tmp_path: Any) -> str:
    file = tmp_path / "secret.csv"
    file.write_text("a,b\n1,2\n")
    return str(file)


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lab whose queries may run for a second."""
    from kit.local_aws import process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_QUERY_SECONDS", "1")
        server = process.up(tmp_path_factory.mktemp("slow") / "aws")
    yield Lab(server)
    process.down(server.folder)


def test_a_query_that_takes_too_long_is_ended(slow: Lab) -> None:
    long = "SELECT sum(sqrt(i * j)) FROM unnest(sequence(1, 3000000)) a(i) CROSS JOIN unnest(sequence(1, 3000000)) b(j)"
    with slow.current():
        assert Athena(slow).why(long) == "Query timeout: it ran for 1 seconds"


def test_the_result_can_be_read_as_csv_by_anyone(athena: Athena) -> None:
    done = athena.run("SELECT 'a\"b' AS x, ',' AS y, '\n' AS z")
    text = athena.lab.get(done["ResultConfiguration"]["OutputLocation"]).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["x", "y", "z"], ['a"b', ",", "\n"]]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def as_role(athena: Athena, *statements: dict[str, Any]) -> Any:
    """Athena's client of a role that may do this, and anything with Athena itself."""
    iam, name = athena.lab.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
    own = {"Effect": "Allow", "Action": "athena:*", "Resource": "*"}
    trust = {"Effect": "Allow", "Principal": {"AWS": athena.lab.server.account}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy(own, *statements))
    keys = athena.lab.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
    return Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
    ).client("athena", endpoint_url=athena.lab.server.url)


def test_a_query_reads_and_writes_what_its_caller_may(athena: Athena, people: str) -> None:
    objects = f"arn:aws:s3:::{BUCKET}"
    out = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:PutObject", "s3:GetObject"]}
    results = {**out, "Resource": [objects, f"{objects}/results/*"]}
    tables = {"Effect": "Allow", "Action": "glue:Get*", "Resource": "*"}
    athena.client = as_role(athena, results)
    assert "is not authorized to perform: glue:GetTable" in athena.why("SELECT * FROM people")
    athena.client = as_role(athena, results, tables)
    assert athena.why("SELECT * FROM people") == f"Permission denied on S3 path: {people}"
    everything = {**out, "Resource": [objects, f"{objects}/*"]}
    athena.client = as_role(athena, everything, tables)
    assert len(athena.rows("SELECT * FROM people")) == 3
    athena.client = as_role(athena, results, tables)  # what another one read before is not for this one
    assert athena.why("SELECT * FROM people") == f"Permission denied on S3 path: {people}"
    reads = {
        "Effect": "Allow",
        "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": [objects, f"{objects}/*"],
    }
    athena.client = as_role(athena, reads, tables)
    assert athena.why("SELECT * FROM people").startswith(f"Access denied when writing to location: {OUT}")
