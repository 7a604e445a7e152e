"""Athena as its clients meet it: statements through boto3, results from GetQueryResults and from S3."""

from __future__ import annotations

import csv
import io
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lab import BUCKET, Lab

OUT = f"s3://{BUCKET}/results/"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class Athena:
    """A database of its own, and statements that are waited for."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.client, self.glue = lab, lab.client("athena"), lab.client("glue")
        self.database = f"d{uuid.uuid4().hex[:8]}"
        self.glue.create_database(DatabaseInput={"Name": self.database})

    def start(self, sql: str, **more: Any) -> str:
        asked = {
            "QueryString": sql,
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": OUT},
        }
        return str(self.client.start_query_execution(**{**asked, **more})["QueryExecutionId"])

    def ended(self, identifier: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            found = self.client.get_query_execution(QueryExecutionId=identifier)["QueryExecution"]
            return {**found, "State": found["Status"]["State"]}

        return self.lab.until(ask, "State", *ENDED)

    def run(self, sql: str, **more: Any) -> dict[str, Any]:
        return self.ended(self.start(sql, **more))

    def rows(self, sql: str, **more: Any) -> list[list[str | None]]:
        """The rows of a result without its header."""
        done = self.run(sql, **more)
        assert done["State"] == "SUCCEEDED", done["Status"]
        return self.page(done["QueryExecutionId"])["rows"][1:]

    def page(self, identifier: str, **more: Any) -> dict[str, Any]:
        found = self.client.get_query_results(QueryExecutionId=identifier, **more)
        rows = [[value.get("VarCharValue") for value in row["Data"]] for row in found["ResultSet"]["Rows"]]
        info = found["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        return {**found, "rows": rows, "types": [(one["Name"], one["Type"]) for one in info]}

    def lines(self, sql: str) -> list[str]:
        """What a statement about the catalogue answers."""
        done = self.run(sql)
        assert done["State"] == "SUCCEEDED", done["Status"]
        return [str(row[0]) for row in self.page(done["QueryExecutionId"])["rows"]]

    def why(self, sql: str, **more: Any) -> str:
        """Why a statement failed."""
        done = self.run(sql, **more)
        assert done["State"] == "FAILED", done["Status"]
        assert done["Status"]["AthenaError"]["ErrorMessage"] == done["Status"]["StateChangeReason"]
        return str(done["Status"]["StateChangeReason"])

    def put(self, key: str, body: str | bytes) -> str:
        """The folder of a new object that belongs to this database."""
        return self.lab.put(f"{self.database}/{key}", body).rpartition("/")[0] + "/"

    def table(self, name: str, columns: str, location: str, rest: str = "", serde: str = "") -> None:
        done = self.run(f"CREATE EXTERNAL TABLE {name} ({columns}) {rest} {serde} LOCATION '{location}'")
        assert done["State"] == "SUCCEEDED", done["Status"]


@pytest.fixture
def athena(lab: Lab) -> Athena:
    return Athena(lab)


def parquet(**columns: list[Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


PEOPLE = parquet(id=[1, 2, 3], name=["ann", None, 'b"o,b'], amount=[1.5, 2e7, -0.25])


@pytest.fixture
def people(athena: Athena) -> str:
    """The location of a table `people` on Parquet."""
    place = athena.put("people/a.parquet", PEOPLE)
    athena.table("people", "id bigint, name string, amount double", place, "STORED AS PARQUET")
    return place


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


def test_csv_with_quotes_and_a_header_is_read_by_the_open_csv_serde(athena: Athena) -> None:
    text = 'id,name,born,seen,ok\n1,"x, y",19000,1700000000123,TRUE\n2,"he said ""hi""",,,\n'
    place = athena.put("quoted/a.csv", text)
    athena.put("quoted/_SUCCESS", "not data")
    athena.put("quoted/b.csv", "id,name,born,seen,ok\n3,z,0,0,false,extra\n")
    serde = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
    columns = "id int, name string, born string, seen timestamp, ok boolean"
    athena.run(
        f"CREATE EXTERNAL TABLE quoted ({columns}) {serde} LOCATION '{place}' TBLPROPERTIES ('skip.header.line.count'='1')"
    )
    why = athena.why("SELECT * FROM quoted")
    assert why == "HIVE_BAD_DATA: Error parsing field value '' for field 3"
    assert athena.rows("SELECT id, name, born, ok FROM quoted ORDER BY id") == [
        ["1", "x, y", "19000", "true"],
        ["2", 'he said "hi"', "", "false"],
        ["3", "z", "0", "false"],
    ]
    athena.put("moments/a.csv", "0,1700000000123\n20000,0\n")
    athena.table("moments", "d date, t timestamp", f"s3://{BUCKET}/{athena.database}/moments/", "", serde)
    assert athena.rows("SELECT d, t FROM moments ORDER BY d") == [
        ["1970-01-01", "2023-11-14 22:13:20.123"],
        ["2024-10-04", "1970-01-01 00:00:00.000"],
    ]


def test_plain_csv_is_cut_at_its_delimiter_and_what_is_no_number_is_null(athena: Athena) -> None:
    place = athena.put("plain/a.txt", "1|a|2.5\r\n2||x\n3\n\\N|b|4|more\n4|a\\|b|5\n")
    athena.run(
        f"CREATE EXTERNAL TABLE plain (id int, name string, amount double) ROW FORMAT DELIMITED FIELDS TERMINATED BY '|'"
        f" ESCAPED BY '\\\\' LOCATION '{place}'"
    )
    assert athena.rows("SELECT * FROM plain ORDER BY id") == [
        ["1", "a", "2.5"],
        ["2", "", None],
        ["3", None, None],
        ["4", "a|b", "5.0"],
        [None, "b", "4.0"],
    ]


def test_a_table_made_through_glue_is_read_too_and_one_without_a_format_is_refused(athena: Athena) -> None:
    place = athena.put("glued/a.csv", "a;1\nb;2\n")
    descriptor = {
        "Columns": [{"Name": "k", "Type": "string"}, {"Name": "v", "Type": "decimal(10,2)"}],
        "Location": place,
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"field.delim": ";"},
        },
    }
    for name, made in (("glued", descriptor), ("bare", {"Columns": [], "Location": place})):
        athena.glue.create_table(
            DatabaseName=athena.database, TableInput={"Name": name, "StorageDescriptor": made}
        )
    assert athena.rows("SELECT k, sum(v) FROM glued GROUP BY k ORDER BY k") == [["a", "1.00"], ["b", "2.00"]]
    assert athena.why("SELECT * FROM bare") == "HIVE_UNSUPPORTED_FORMAT: Unable to create input format"
    assert athena.why("DESCRIBE glued") == "FAILED: NullPointerException Name is null"


def test_json_lines_are_read_whatever_the_case_of_their_names(athena: Athena) -> None:
    lines = [
        {"eventId": 1, "tags": ["a", "b"], "who": {"Name": "ann", "other": 1}},
        {"EVENTID": 2, "who": None},
        {"unknown": True},
    ]
    place = athena.put("events/part", "\n".join(map(json.dumps, lines)))
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    athena.table("events", "eventid bigint, tags array<string>, who struct<name:string>", place, serde)
    assert athena.rows("SELECT eventid, tags, who FROM events ORDER BY 1") == [
        ["1", "[a, b]", "{name=ann}"],
        ["2", None, None],
        [None, None, None],
    ]
    assert athena.rows("SELECT e.who.name, t FROM events e CROSS JOIN UNNEST(tags) AS u(t) ORDER BY t") == [
        ["ann", "a"],
        ["ann", "b"],
    ]
    athena.put("events/broken", "{nonsense\n")
    assert athena.why("SELECT * FROM events").startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object")


def test_a_partition_is_read_once_glue_knows_it(athena: Athena) -> None:
    for month, value in (("01", 1), ("02", 2), ("02", 3)):
        athena.put(f"parts/year=2026/month={month}/{value}.parquet", parquet(v=[value]))
    place = f"s3://{BUCKET}/{athena.database}/parts/"
    athena.run(
        f"CREATE EXTERNAL TABLE parts (v bigint) PARTITIONED BY (year string, month string) STORED AS PARQUET LOCATION '{place}'"
    )
    assert athena.rows("SELECT count(*) FROM parts") == [["0"]]
    assert len(athena.lines("MSCK REPAIR TABLE parts")) == 3
    assert athena.lines("MSCK REPAIR TABLE parts") == []
    assert athena.lines("SHOW PARTITIONS parts") == ["year=2026/month=01", "year=2026/month=02"]
    assert athena.rows("SELECT month, sum(v) FROM parts WHERE year = '2026' GROUP BY 1 ORDER BY 1") == [
        ["01", "1"],
        ["02", "5"],
    ]
    elsewhere = athena.put("elsewhere/x.parquet", parquet(v=[10], other=["y"]))
    added = f"PARTITION (year = '2027', month = '01') LOCATION '{elsewhere}'"
    athena.lines(f"ALTER TABLE parts ADD IF NOT EXISTS {added}")
    assert athena.rows("SELECT * FROM parts WHERE year > '2026'") == [["10", "2027", "01"]]
    assert "already exists" in athena.why(f"ALTER TABLE parts ADD {added}")
    athena.lines("ALTER TABLE parts DROP PARTITION (year = '2027', month = '01')")
    assert athena.rows("SELECT sum(v) FROM parts") == [["6"]]


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


def test_a_files_column_of_another_type_than_the_tables_is_told(athena: Athena) -> None:
    place = athena.put("typed/a.parquet", parquet(v=["1"], w=[1]))
    athena.table("typed", "v bigint, w bigint, x string", place, "STORED AS PARQUET")
    assert athena.why("SELECT v FROM typed").startswith(
        "HIVE_BAD_DATA: Field v's type VARCHAR in parquet file s3://"
    )
    athena.put("typed/a.parquet", parquet(W=[7]))  # the newer object is read, not a copy of the older one
    assert athena.rows("SELECT v, w, x FROM typed") == [[None, "7", None]]
    athena.put("typed/b.parquet", "no parquet at all")
    assert athena.why("SELECT * FROM typed").startswith("HIVE_BAD_DATA: Not valid Parquet file")


def test_the_catalogue_is_shown_and_changed(athena: Athena, people: str) -> None:
    assert athena.lines("SHOW TABLES") == ["people"]
    assert athena.lines("SHOW TABLES 'x*'") == []
    assert athena.database in athena.lines("SHOW DATABASES")
    assert [line.split() for line in athena.lines("DESCRIBE people")] == [
        ["id", "bigint"],
        ["name", "string"],
        ["amount", "double"],
    ]
    assert [line.strip() for line in athena.lines("SHOW COLUMNS IN people")] == ["id", "name", "amount"]
    created = "\n".join(athena.lines("SHOW CREATE TABLE people"))
    athena.lines("DROP TABLE people")
    assert athena.lines("DROP TABLE IF EXISTS people") == []
    assert athena.lines("SHOW TABLES") == []
    athena.lines(created)  # what was shown makes the same table
    assert athena.rows("SELECT count(*) FROM people") == [["3"]]
    assert f"'{people}'" in created
    assert "is not empty" in athena.why(f"DROP DATABASE {athena.database}")
    athena.lines(f"DROP DATABASE {athena.database} CASCADE")
    assert athena.database not in athena.lines("SHOW DATABASES")


@pytest.mark.usefixtures("people")
def test_a_query_makes_a_table_with_files_and_partitions(athena: Athena) -> None:
    place = f"s3://{BUCKET}/{athena.database}/made/"
    properties = f"format = 'PARQUET', external_location = '{place}', partitioned_by = ARRAY['part']"
    sql = f"CREATE TABLE made WITH ({properties}) AS SELECT id, sum(id) OVER () AS total, current_timestamp AS at, cast(id % 2 AS varchar) AS part FROM people"
    done = athena.run(sql)
    assert (done["State"], done["StatementType"]) == ("SUCCEEDED", "DDL")
    assert athena.page(done["QueryExecutionId"])["UpdateCount"] == 3
    keys = athena.lab.keys(f"{athena.database}/made/")
    assert sorted({key.split("/")[2] for key in keys}) == ["part=0", "part=1"]
    found = athena.glue.get_table(DatabaseName=athena.database, Name="made")["Table"]
    types = {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}
    assert types == {"id": "bigint", "total": "bigint", "at": "timestamp"}
    assert found["PartitionKeys"] == [{"Name": "part", "Type": "string"}]
    assert athena.rows("SELECT id, total FROM made WHERE part = '1' ORDER BY id") == [["1", "6"], ["3", "6"]]
    said = "COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown at position 2"
    assert athena.why("CREATE TABLE untyped AS SELECT 1 AS a, NULL AS b") == said
    assert "Destination table" in athena.why("CREATE TABLE made AS SELECT 1 AS a")
    assert athena.why(f"CREATE TABLE again WITH (external_location = '{place}') AS SELECT 1 AS a").startswith(
        "HIVE_PATH_ALREADY_EXISTS"
    )
    for form in ("TEXTFILE", "JSON"):
        athena.run(f"CREATE TABLE {form} WITH (format = '{form}') AS SELECT 1 AS a, 'x' AS b")
        assert athena.rows(f"SELECT a, b FROM {form}") == [["1", "x"]]


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


def test_many_small_files_are_read_together(athena: Athena) -> None:
    for number in range(300):
        athena.put(f"many/{number}.json", json.dumps({"n": number}))
    place = f"s3://{BUCKET}/{athena.database}/many/"
    athena.table("many", "n bigint", place, "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'")
    assert athena.rows("SELECT count(*), sum(n) FROM many") == [["300", str(sum(range(300)))]]
    began = time.perf_counter()
    assert athena.rows("SELECT max(n) FROM many") == [["299"]]
    assert time.perf_counter() - began < 10  # the copies of the first query are used


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


Rows = Callable[[str], list[list[str | None]]]
FUNCTIONS = [
    ("date_add('day', 1, date '2026-01-31')", "2026-02-01"),
    ("date_add('month', 1, timestamp '2026-01-31 10:00:00')", "2026-02-28 10:00:00.000"),
    ("date '2026-01-01' - interval '1' day", "2025-12-31"),
    ("date_trunc('month', date '2026-02-17')", "2026-02-01"),
    ("date_diff('day', timestamp '2026-01-01 12:00:00', timestamp '2026-01-02 11:00:00')", "0"),
    ("date_diff('month', date '2026-01-15', date '2026-03-14')", "1"),
    ("date_format(timestamp '2026-01-02 03:04:05', '%Y-%m-%d %H:%i:%s')", "2026-01-02 03:04:05"),
    ("date_parse('2026-01-02', '%Y-%m-%d')", "2026-01-02 00:00:00.000"),
    ("format_datetime(timestamp '2026-01-02 03:04:05', 'yyyy-MM-dd''T''HH:mm')", "2026-01-02T03:04"),
    ("parse_datetime('02/01/2026', 'dd/MM/yyyy')", "2026-01-02 00:00:00.000"),
    ("from_unixtime(1.5)", "1970-01-01 00:00:01.500 UTC"),
    ("to_unixtime(timestamp '1970-01-01 00:00:10')", "10.0"),
    ("from_iso8601_timestamp('2026-01-02T03:04:05Z')", "2026-01-02 03:04:05.000 UTC"),
    ("to_iso8601(date '2026-01-02')", "2026-01-02"),
    ("year(date '2026-01-02') + day_of_week(date '2026-01-04')", "2033"),
    ("7 / 2", "3"),
    ("7 / 2.0", "3.5"),
    ("7 % 4", "3"),
    ("round(2.5)", "3"),
    ("1e7", "1.0E7"),
    ("0.0001e0", "1.0E-4"),
    ("cast(0.1 AS real)", "0.1"),
    ("nan()", "NaN"),
    ("-infinity()", "-Infinity"),
    ("approx_distinct(x) FROM (VALUES 1, 2, 2) t(x)", "2"),
    ("approx_percentile(x, 0.5) FROM (VALUES 1, 2, 3) t(x)", "2"),
    ("max_by(y, x) FROM (VALUES (1, 'a'), (2, 'b')) t(x, y)", "b"),
    ("count_if(x > 1) FROM (VALUES 1, 2, 3) t(x)", "2"),
    ("map_agg(x, y) FROM (VALUES ('k', 1)) t(x, y)", "{k=1}"),
    ("array_join(array_agg(x ORDER BY x), '-') FROM (VALUES 2, 1) t(x)", "1-2"),
    ("cardinality(split('a,b,c', ','))", "3"),
    ("element_at(map(ARRAY['a'], ARRAY[1]), 'b')", None),
    ("slice(ARRAY[1, 2, 3, 4], 2, 2)", "[2, 3]"),
    ("transform(ARRAY[1, 2], x -> x + 1)", "[2, 3]"),
    ("any_match(ARRAY[1, 2], x -> x > 1)", "true"),
    ("contains(ARRAY[1, 2], 3)", "false"),
    ("regexp_extract('ab12', '([a-z]+)(\\d+)', 2)", "12"),
    ("regexp_replace('a1b2', '\\d', '')", "ab"),
    ("regexp_like('abc', 'b')", "true"),
    ("json_extract_scalar('{\"a\": {\"b\": 1}}', '$.a.b')", "1"),
    ("split_part('a/b/c', '/', 2)", "b"),
    ("strpos('hello', 'l')", "3"),
    ("coalesce(try_cast('x' AS integer), -1)", "-1"),
    ("try(1 / 0)", None),
    ("if(1 > 2, 'a', 'b')", "b"),
    ("greatest(1, 3, 2)", "3"),
    ("width_bucket(5, 0, 10, 4)", "3"),
    ("to_hex(md5(to_utf8('a')))", "0CC175B9C0F1B6A831C399E269772661"),
    ("url_extract_host('https://x.org/p?q=1')", "x.org"),
    ("row_number() OVER (ORDER BY x DESC) FROM (VALUES 1) t(x)", "1"),
    ("stddev_pop(x) FROM (VALUES 1, 3) t(x)", "1.0"),
    ("cast(row(1, 'x') AS row(a integer, b varchar))", "{a=1, b=x}"),
    ("X'00ff'", "00 ff"),
]  # fmt: skip


def test_functions_mean_what_they_mean_in_trino(athena: Athena) -> None:
    tables = [said.partition(" FROM ")[2] for said, _ in FUNCTIONS]
    plain = [said for (said, _), table in zip(FUNCTIONS, tables, strict=True) if not table]
    (row,) = athena.rows("SELECT " + ", ".join(plain))
    found = dict(zip(plain, row, strict=True))
    for said, _ in FUNCTIONS:
        if said not in found:
            found[said] = athena.rows(f"SELECT {said}")[0][0]
    assert found == dict(FUNCTIONS)
