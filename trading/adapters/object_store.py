"""The object store: payloads and snapshots by their content, through the `minio` client, which speaks to any S3.

Immutable by construction: a key is the sha256 of what lies under it, so writing twice writes the same bytes, and
reading checks them. Locks and versioning of one vendor are not needed.
"""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trading.errors import DiskFullError, EngineUnavailableError, PayloadHashError

if TYPE_CHECKING:
    from minio import Minio

_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound", "NoSuchBucket", "404"})
_FULL = frozenset({"XMinioStorageFull", "InsufficientStorage", "StorageFull", "QuotaExceeded"})


@dataclass(frozen=True)
class ObjectStore:
    """A bucket of an S3 object store.

    Attributes:
        endpoint: Such as `http://127.0.0.1:8333`; https is spoken where the URL says so.
        region: Given, so that the client does not ask the server for it.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str = "tradeloom"
    region: str = "us-east-1"

    @cached_property
    def _client(self) -> Minio:
        import urllib3
        from minio import Minio

        parts = urlsplit(self.endpoint)
        patience = urllib3.Retry(
            total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504], raise_on_status=False
        )
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=60), retries=patience)
        return Minio(
            endpoint=parts.netloc or parts.path,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=parts.scheme == "https",
            region=self.region,
            http_client=pool,
        )

    def put(self, payload: bytes) -> str:
        """Keep `payload` under the key of its content unless it is there already; return the key.

        Raises:
            EngineUnavailableError, DiskFullError: the store does not answer, or has no space left.
        """
        key = payload_key(hashlib.sha256(payload).hexdigest())
        self.put_at(key, payload)
        return key

    def put_at(self, key: str, payload: bytes) -> None:
        """Keep `payload` under `key`, which must be a function of its content; what is there already stays."""
        if self.size(key) == len(payload):
            return
        with self._errors():
            if not self._client.bucket_exists(bucket_name=self.bucket):
                self._client.make_bucket(bucket_name=self.bucket)
            self._client.put_object(
                bucket_name=self.bucket, object_name=key, data=io.BytesIO(payload), length=len(payload)
            )

    def put_file(self, key: str, path: Path) -> None:
        """Keep a file under `key`, as `put_at` keeps bytes; it is sent in parts and never held whole.

        One part after the other: each that is under way is held, 5 MB or more, and three at once took as long.
        """
        if self.size(key) == path.stat().st_size:
            return
        with self._errors():
            if not self._client.bucket_exists(bucket_name=self.bucket):
                self._client.make_bucket(bucket_name=self.bucket)
            self._client.fput_object(
                bucket_name=self.bucket, object_name=key, file_path=str(path), num_parallel_uploads=1
            )

    def get(self, key: str, sha256: str) -> bytes:
        """Return what lies under `key`, checked against `sha256` (hex).

        Raises:
            PayloadHashError: nothing lies there, or other bytes do.
        """
        payload = self._read(key)
        found = hashlib.sha256(payload).hexdigest() if payload is not None else "nothing"
        if payload is None or found != sha256:
            raise PayloadHashError(f"expected {key} with sha256 {sha256}, found {found}; restore it from a backup")
        return payload

    def size(self, key: str) -> int | None:
        """Return the size in bytes of what lies under `key`, or None where nothing does."""
        with self._errors():
            found = self._unless_missing(lambda: self._client.stat_object(bucket_name=self.bucket, object_name=key))
            return found.size if found is not None else None

    def _read(self, key: str) -> bytes | None:
        with self._errors():
            response = self._unless_missing(lambda: self._client.get_object(bucket_name=self.bucket, object_name=key))
            if response is None:
                return None
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

    @staticmethod
    def _unless_missing(ask: Any) -> Any:
        from minio.error import S3Error

        try:
            return ask()
        except S3Error as error:
            if error.code in _MISSING:
                return None
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the failures of the store into one clear line each."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield
        except S3Error as error:
            if error.code in _FULL or "no space" in str(error).lower() or "free volume" in str(error).lower():
                raise _disk_full(error) from error
            raise EngineUnavailableError(
                f"expected the object store at {self.endpoint} to serve us, found {error.code}: {error.message}"
            ) from error
        except (MinioException, HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise _disk_full(error) from error
            raise EngineUnavailableError(
                f"expected the object store at {self.endpoint} to answer, found {type(error).__name__}; "
                "start it with `tradeloom up` and run again"
            ) from error


def payload_key(sha256: str) -> str:
    """Return where a payload with this hash lies."""
    return f"payloads/{sha256[:2]}/{sha256}"


def _disk_full(error: Exception) -> DiskFullError:
    return DiskFullError(f"the object store has no space left ({str(error).splitlines()[0]}); free some and run again")
