"""The functions that Athena engine 3 (Trino) has, and how those are written for DuckDB that neither has by the same name. Pure data.

Source of the names: Trino's list of functions and operators (trino.io/docs/current/functions/list.html) and the exceptions that
Athena names (docs.aws.amazon.com/athena/latest/ug/functions-env3.html). A name that is not here would fail on AWS, so it fails here.
"""

from __future__ import annotations

__all__ = ["KEYWORDS", "MACROS", "NAMES"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAMES = _words(
    """
    abs acos all_match any_match any_value approx_distinct approx_most_frequent approx_percentile arbitrary array_agg array_distinct
    array_except array_first array_histogram array_intersect array_join array_last array_max array_min array_position array_remove
    array_sort array_union arrays_overlap asin at_timezone atan atan2 avg bar beta_cdf bing_tile bit_count bitwise_and
    bitwise_and_agg bitwise_left_shift bitwise_not bitwise_or bitwise_or_agg bitwise_right_shift bitwise_xor bool_and bool_or
    cardinality cast cbrt ceil ceiling char2hexint checksum chr classify coalesce codepoint color combinations concat concat_ws
    contains contains_sequence corr cos cosh cosine_distance cosine_similarity count count_if covar_pop covar_samp crc32 cume_dist
    current_date current_time current_timestamp current_timezone current_user date date_add date_diff date_format date_parse
    date_trunc day day_of_month day_of_week day_of_year decimal degrees dense_rank dot_product dow doy e element_at empty_approx_set
    evaluate_classifier_predictions every exp extract filter first_value flatten floor format format_datetime format_number
    from_base from_base32 from_base64 from_base64url from_big_endian_32 from_big_endian_64 from_geojson_geometry from_hex
    from_ieee754_32 from_ieee754_64 from_iso8601_date from_iso8601_timestamp from_iso8601_timestamp_nanos from_unixtime
    from_unixtime_nanos from_utf8 geometric_mean great_circle_distance greatest grouping hamming_distance hash_counts histogram
    hmac_md5 hmac_sha1 hmac_sha256 hmac_sha512 hour human_readable_seconds if index infinity intersection_cardinality inverse_beta_cdf
    inverse_normal_cdf is_finite is_infinite is_json_scalar is_nan jaccard_index json_array json_array_contains json_array_get
    json_array_length json_exists json_extract json_extract_scalar json_format json_object json_parse json_query json_size json_value
    kurtosis lag last_day_of_month last_value lead learn_classifier learn_regressor least length levenshtein_distance like_pattern
    listagg ln localtime localtimestamp log log10 log2 lower lpad ltrim luhn_check make_set_digest map map_agg map_concat
    map_entries map_filter map_from_entries map_keys map_union map_values map_zip_with max max_by md5 merge merge_set_digest
    millisecond min min_by minute mod month multimap_agg multimap_from_entries murmur3 nan ngrams none_match normal_cdf normalize
    now nth_value ntile nullif numeric_histogram parse_datetime parse_duration parse_data_size percent_rank permute pi position pow
    power qdigest_agg quarter quantile_at_value radians rand random rank reduce reduce_agg regexp_count regexp_extract
    regexp_extract_all regexp_like regexp_position regexp_replace regexp_split regr_intercept regr_slope regress rename render repeat
    replace reverse rgb round row row_number rpad rtrim second sequence sha1 sha256 sha512 shuffle sign simplify_geometry sin sinh
    skewness slice some soundex spatial_partitioning split split_part split_to_map split_to_multimap spooky_hash_v2_32
    spooky_hash_v2_64 sqrt starts_with stddev stddev_pop stddev_samp strpos strrpos substr substring sum tan tanh tdigest_agg
    timestamp timestamp_objectid timezone_hour timezone_minute to_base to_base32 to_base64 to_base64url to_big_endian_32
    to_big_endian_64 to_char to_date to_geometry to_hex to_ieee754_32 to_ieee754_64 to_iso8601 to_milliseconds to_timestamp
    to_unixtime to_utf8 transform transform_keys transform_values translate trim trim_array truncate try try_cast typeof unnest upper
    url_decode url_encode url_extract_fragment url_extract_host url_extract_parameter url_extract_path url_extract_port
    url_extract_protocol url_extract_query uuid value_at_quantile values_at_quantiles var_pop var_samp variance version week
    week_of_year width_bucket wilson_interval_lower wilson_interval_upper with_timezone word_stem xxhash64 year year_of_week yow zip
    zip_with st_area st_asbinary st_astext st_buffer st_centroid st_contains st_distance st_geometryfromtext st_intersects st_point
    st_within st_x st_y
    """
)

# Words that may stand before a parenthesis without being a function, types among them.
KEYWORDS = _words(
    """
    all and any array as between bernoulli bigint boolean by case char coalesce cube date decimal distinct double else escape except
    exists filter first following from full groups having in inner integer int intersect interval into is join json lateral left like
    limit map natural not nulls offset on or order ordinality outer over partition preceding real returning right rollup row select
    sets smallint some system table tablesample then time timestamp tinyint union unnest using values varbinary varchar when where
    window with within array materialized recursive
    """
)

# DuckDB macros for functions that it lacks or that answer another type there. Names with "_" are what `athena_sql` writes.
MACROS = (
    """_date_add(unit, n, d DATE) AS CAST(d + CAST(n || ' ' || unit AS INTERVAL) AS DATE),
        (unit, n, d TIMESTAMP) AS d + CAST(n || ' ' || unit AS INTERVAL),
        (unit, n, d TIMESTAMPTZ) AS d + CAST(n || ' ' || unit AS INTERVAL)""",
    """_date_trunc(unit, d DATE) AS CAST(date_trunc(unit, d) AS DATE), (unit, d TIMESTAMP) AS date_trunc(unit, d),
        (unit, d TIMESTAMPTZ) AS date_trunc(unit, d)""",
    "_plus(d DATE, i) AS CAST(d + i AS DATE), (d TIMESTAMP, i) AS d + i, (d TIMESTAMPTZ, i) AS d + i",
    "map_agg(k, v) AS map(list(k), list(v))",
    "map_union(m) AS map_from_entries(flatten(list(map_entries(m))))",
    "infinity() AS CAST('inf' AS DOUBLE)",
    "nan() AS CAST('nan' AS DOUBLE)",
    "e() AS exp(1.0)",
    "is_infinite(x) AS isinf(x)",
    "is_finite(x) AS isfinite(x)",
    "geometric_mean(x) AS exp(avg(ln(x)))",
    "to_iso8601(t DATE) AS strftime(t, '%Y-%m-%d'), (t TIMESTAMP) AS strftime(t, '%Y-%m-%dT%H:%M:%S.%g'),"
    " (t TIMESTAMPTZ) AS strftime(t, '%Y-%m-%dT%H:%M:%S.%gZ')",
    "width_bucket(x, low, high, n) AS CASE WHEN x < low THEN 0 WHEN x >= high THEN n + 1"
    " ELSE CAST(floor((x - low) / CAST(high - low AS DOUBLE) * n) AS BIGINT) + 1 END",
    "arrays_overlap(a, b) AS list_has_any(a, b)",
    "array_union(a, b) AS list_distinct(list_concat(a, b))",
    "array_remove(a, x) AS list_filter(a, lambda y: y <> x)",
    "json_size(j, p) AS coalesce(json_array_length(j, p), len(json_keys(j, p)))",
    "human_readable_seconds(s) AS CAST(to_seconds(s) AS VARCHAR)",
    "url_extract_host(u) AS nullif(regexp_extract(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#:]*)', 1), '')",
    "url_extract_path(u) AS regexp_extract(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1)",
)
