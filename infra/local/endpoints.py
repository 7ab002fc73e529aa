"""Where each engine and service is: what the environment says, else what runs in the state folder.

The one place that answers "which PostgreSQL?". Nothing is started here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from infra.errors import NotRunningError
from infra.local import dagster
from infra.local.home import Home
from infra.local.object_store import BUCKET, ObjectStore, ObjectStoreSettings
from infra.local.postgres import PostgresServer
from infra.local.processes import records

VARIABLES = {
    "postgres": "TRADELOOM_POSTGRES_URL",
    "s3": "TRADELOOM_S3_ENDPOINT",
    "mlflow": "TRADELOOM_MLFLOW_URL",
    "dagster": "TRADELOOM_DAGSTER_URL",
    "oracle": "TRADELOOM_ORACLE_URL",
    "analyst": "TRADELOOM_ANALYST_URL",
}
READ_URL = "TRADELOOM_POSTGRES_READ_URL"
KEYS = ("TRADELOOM_S3_ACCESS_KEY", "TRADELOOM_S3_SECRET_KEY", "TRADELOOM_S3_BUCKET")


@dataclass(frozen=True)
class Endpoints:
    """The addresses in force. An address that nobody gave raises when it is asked for, not before.

    Attributes:
        home: The state folder.
        settings: The TRADELOOM_ variables that are known, secrets included: do not print them.
    """

    home: Path
    settings: Mapping[str, str]

    @classmethod
    def resolve(cls, environ: Mapping[str, str]) -> Endpoints:
        """Return the addresses: those of the environment as they are, for the rest those of running engines.

        Raises:
            NotRunningError: PostgreSQL is named by something that is no address.
        """
        home = Home.resolve(environ)
        return cls(home.path, {**_running(home), **outside(environ)})

    @property
    def postgres_url(self) -> str:
        """`postgresql://user:password@/tradeloom?host=...`."""
        return self._known("postgres")

    @property
    def read_url(self) -> str:
        """Where research reads: the replica that was named, else the warehouse itself."""
        return self.settings.get(READ_URL) or self.postgres_url

    @property
    def s3_endpoint(self) -> str:
        return self._known("s3")

    @property
    def s3_access_key(self) -> str:
        return self._key("TRADELOOM_S3_ACCESS_KEY")

    @property
    def s3_secret_key(self) -> str:
        return self._key("TRADELOOM_S3_SECRET_KEY")

    @property
    def s3_bucket(self) -> str:
        return self.settings.get("TRADELOOM_S3_BUCKET", BUCKET)

    @property
    def object_store(self) -> ObjectStoreSettings:
        """Everything that an S3 client needs."""
        return ObjectStoreSettings(self.s3_endpoint, self.s3_access_key, self.s3_secret_key, self.s3_bucket)

    @property
    def mlflow_url(self) -> str:
        return self._known("mlflow")

    @property
    def dagster_url(self) -> str:
        return self._known("dagster")

    @property
    def oracle_url(self) -> str:
        return self._known("oracle")

    @property
    def analyst_url(self) -> str:
        return self._known("analyst")

    def environment(self) -> dict[str, str]:
        """Return the variables for a child: all that is known, and what Dagster, MLflow and HTTP clients read."""
        known = {**self.settings, "TRADELOOM_HOME": str(self.home), "DAGSTER_HOME": str(self.home / "dagster")}
        if "TRADELOOM_POSTGRES_URL" in known:
            known |= dagster.environment(known["TRADELOOM_POSTGRES_URL"])
        if "TRADELOOM_MLFLOW_URL" in known:
            known["MLFLOW_TRACKING_URI"] = known["TRADELOOM_MLFLOW_URL"]
        # Loopback is never reached through a proxy.
        return known | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}

    def _known(self, service: str) -> str:
        try:
            return self.settings[VARIABLES[service]]
        except KeyError:
            raise NotRunningError(
                f"expected {service} to run in {self.home}, found that it does not; "
                f"start it with `tradeloom up`, or set {VARIABLES[service]}"
            ) from None

    def _key(self, variable: str) -> str:
        try:
            return self.settings[variable]
        except KeyError:
            self._known("s3")
            raise NotRunningError(f"expected {variable} beside {VARIABLES['s3']}, found it unset; set it") from None


def outside(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses and keys that the environment gives.

    Raises:
        NotRunningError: PostgreSQL is named by something that is no address.
    """
    given = {name: environ[name] for name in (*VARIABLES.values(), *KEYS, READ_URL) if environ.get(name)}
    return given | {name: _as_url(name, given[name]) for name in (VARIABLES["postgres"], READ_URL) if name in given}


def _as_url(name: str, given: str) -> str:
    """Return libpq's words (`host=... dbname=...`) as a URL, of which dbt, MLflow and Dagster are told."""
    if urlsplit(given).scheme in ("postgresql", "postgres"):
        return given
    try:
        words = {name: str(value) for name, value in conninfo_to_dict(given).items()}
    except ProgrammingError:
        # The value may hold a password, so it is not repeated.
        raise NotRunningError(
            f"expected {name} to be a URL such as postgresql://user:password@host:5432/tradeloom, "
            "found something else; write it as a URL"
        ) from None
    user, password = quote(words.pop("user", ""), safe=""), quote(words.pop("password", ""), safe="")
    who = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql://{who}/{quote(words.pop('dbname', ''), safe='')}?{urlencode(words)}"


def _running(home: Home) -> dict[str, str]:
    """Return the addresses of what runs here; a service that its supervisor is starting again counts."""
    if not home.run.is_dir():
        return {}
    found: dict[str, str] = {}
    for record in records(home.run):
        if record.name in VARIABLES and (record.process.alive() or record.owner.alive()):
            found |= settings_of(home, record.name, record.url)
    return found


def settings_of(home: Home, service: str, url: str) -> dict[str, str]:
    """Return the variables that an embedded service answers for."""
    if service == "postgres":
        return {VARIABLES[service]: PostgresServer(home).url()}
    if service == "s3":
        store = ObjectStore(home, int(url.rsplit(":", 1)[1])).settings
        return {
            VARIABLES[service]: store.endpoint,
            **dict(zip(KEYS, (store.access_key, store.secret_key, store.bucket), strict=True)),
        }
    return {VARIABLES[service]: url} if service in VARIABLES else {}
