"""Errors of the room that runs engines.

    PlatformError
    ├── EngineStartError      an engine did not come up; the last line of its log is in the message
    ├── NotRunningError       an endpoint that is neither set from outside nor running here
    ├── HomeError             the state folder cannot be used as it is
    ├── MigrationError        a migration failed, or changed after it was applied
    └── BackupError           a backup that cannot be written, or does not match its manifest

They are a tree of their own because `infra` runs below the product and imports nothing of it. Each message is one line:
what was expected, what was found, what to do. The command line prints it and exits 1.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Base of all errors of the local platform."""


class EngineStartError(PlatformError):
    """An engine or a service did not become ready."""


class NotRunningError(PlatformError):
    """An endpoint is neither set in the environment nor running in this state folder."""


class HomeError(PlatformError):
    """The state folder cannot be used: not writable, in use by another, or written by something else."""


class MigrationError(PlatformError):
    """A migration failed, or a file differs from what was applied."""


class BackupError(PlatformError):
    """A backup cannot be written or restored."""
