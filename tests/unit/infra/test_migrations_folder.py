"""The migrations of the house: numbered once each, in order."""

from infra.postgres.migrate import FOLDER


def test_no_two_files_share_a_name_and_all_begin_with_a_number():
    names = [file.name for file in sorted(FOLDER.glob("*.sql"))]
    assert names
    assert all(name[:4].isdigit() for name in names)
    assert len({name.split("_")[0] for name in names}) == len(names)
