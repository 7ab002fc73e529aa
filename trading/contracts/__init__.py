"""One YAML file per raw table: what its rows mean, and every rule that they keep.

`contract` is the form of such a file, `load` reads and checks it. The Great Expectations suite (trading/quality/suites.py),
the dbt contracts (`dbt_files`), the pages in docs/tables (`pages`) and the DDL that the tables are compared with (`ddl`)
all come from it, so none of them can say something else. Import the submodules directly.
"""
