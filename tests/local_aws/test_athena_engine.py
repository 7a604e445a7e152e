"""What lies in S3 in many forms, and what Athena reads of it; functions as they are in Trino."""

from __future__ import annotations

import json

from lab import BUCKET
from querying import Athena, parquet

from kit.local_aws import client


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


def test_many_small_files_are_read_together(athena: Athena) -> None:
    for number in range(300):
        athena.put(f"many/{number}.json", json.dumps({"n": number}))
    place = f"s3://{BUCKET}/{athena.database}/many/"
    athena.table("many", "n bigint", place, "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'")
    assert athena.rows("SELECT count(*), sum(n) FROM many") == [["300", str(sum(range(300)))]]
    assert athena.rows("SELECT max(n) FROM many") == [["299"]]
    calls = [call["action"] for call in client.ask(athena.lab.server.url, "calls")["calls"]]
    second = calls[len(calls) - calls[::-1].index("StartQueryExecution") :]
    assert second.count("GetObject") < 10  # the copies of the first query are used


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
