from feature_store.build import dbt_environment


def test_a_unix_socket_is_the_host() -> None:
    told = dbt_environment("postgresql://loom:s%2Fcret@/tradeloom?host=/run/sockets&port=5433")
    assert told["TRADELOOM_DBT_HOST"] == "/run/sockets"
    assert told["TRADELOOM_DBT_PORT"] == "5433"
    assert told["TRADELOOM_DBT_USER"] == "loom"
    assert told["TRADELOOM_DBT_PASSWORD"] == "s/cret"
    assert told["TRADELOOM_DBT_DBNAME"] == "tradeloom"


def test_nothing_is_sent_anywhere() -> None:
    assert dbt_environment("postgresql://a@b/c")["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"


def test_what_the_url_asks_of_tls_holds_for_dbt_as_well() -> None:
    told = dbt_environment("postgresql://a@b/c?sslmode=verify-full&sslrootcert=/ca.pem")
    assert (told["PGSSLMODE"], told["PGSSLROOTCERT"]) == ("verify-full", "/ca.pem")
    assert not [name for name in dbt_environment("postgresql://a@b/c") if name.startswith("PG")]
