"""Every error of Tradeloom, one tree. Expected refusals are values (`trading.risk.Denied`), not errors.

    TradeloomError
    ├── InputError                a file, a row or an argument of the user's is wrong
    │   ├── MissingColumnError
    │   ├── UnreadablePayloadError   truncated, empty, or not of the type its name says
    │   │   └── NoRowsError             a header and nothing below it
    │   ├── NaiveTimeError
    │   ├── VendorRefusedError     a vendor does not have, or does not give, what was asked for
    │   ├── CredentialsError       a vendor does not know who asks, or does not let us in
    │   ├── AlreadyRunningError    another process is at the same work
    │   └── CompactedError         a version of a feature row that was asked for was taken away by retention
    ├── QualityError              a batch had too many bad rows; nothing of it was published
    ├── LeakError                 what was to be learned from knows the future
    ├── RecalledDataError         what was asked would rest on a recalled bar that has no correction yet
    ├── EngineError               an engine or a service is gone, full, or refuses us
    │   ├── EngineUnavailableError
    │   ├── DiskFullError
    │   └── VendorUnavailableError  a vendor gave no good answer after every try
    ├── ContractError             a table's contract is wrong, or what was made from it is another's
    ├── BuildError                dbt could not build, or one of its tests failed
    ├── IdentityError             a hash does not match what was recorded
    │   ├── ModelHashError
    │   └── PayloadHashError
    ├── ModelError                a model, alias or version that does not exist or cannot serve
    │   └── ModelAnswerError         a model answered out of range or in another form; the answer is refused
    └── LedgerError               an invariant of the ledger would break

A message says what was expected, what was found and what to do, in one line.
"""

from __future__ import annotations


class TradeloomError(Exception):
    """Base of all errors that Tradeloom raises on purpose; the command line prints it as one line and exits 1."""


class InputError(TradeloomError):
    """A file, a row or an argument that the user gave is wrong."""


class MissingColumnError(InputError):
    """A file lacks a column that its kind must have."""


class UnreadablePayloadError(InputError):
    """A payload is empty, truncated, or not what its name says."""


class NoRowsError(UnreadablePayloadError):
    """A payload has a header and nothing below it: a live drop may be so, a history may not."""


class NaiveTimeError(InputError):
    """A date-time without a zone: which moment is meant cannot be known."""


class VendorRefusedError(InputError):
    """A vendor does not have, or does not give, what was asked for; asking again gets the same answer."""


class CredentialsError(InputError):
    """A vendor does not know who asks, or does not let us in; the message names the environment variables, no values."""


class AlreadyRunningError(InputError):
    """Another process is at the same work; nothing is wrong with what was asked for."""


class CompactedError(InputError):
    """The version of a feature row that answers this question was compacted; it can be computed again from raw."""


class QualityError(TradeloomError):
    """A batch had more bad rows than allowed; nothing of it was published."""


class ContractError(TradeloomError):
    """A table's contract cannot be read, or a file made from it is not what it gives."""


class LeakError(TradeloomError):
    """What was to be learned from changes with the future: the leak gate names the column, the row and the remedy."""


class RecalledDataError(TradeloomError):
    """What was asked would rest on a bar that was recalled and not corrected since."""


class EngineError(TradeloomError):
    """An engine or a service failed in a way that a rerun can mend."""


class EngineUnavailableError(EngineError):
    """An engine or a service does not answer."""


class ReplicaBehindError(EngineError):
    """A replica does not hold yet what a question names; it is refused rather than answered with less."""


class DiskFullError(EngineError):
    """An engine could not write because there is no space left."""


class VendorUnavailableError(EngineError):
    """A vendor gave no good answer after every try; what was fetched before is kept, and the same call goes on."""


class BuildError(TradeloomError):
    """dbt could not build, or one of its tests failed; the message ends with what dbt said."""


class IdentityError(TradeloomError):
    """A recomputed hash differs from the recorded one."""


class ModelHashError(IdentityError):
    """A model's weights are not the ones that its version recorded."""


class PayloadHashError(IdentityError):
    """A stored payload is not the one that its batch recorded."""


class ModelError(TradeloomError):
    """A model, alias or version that does not exist or cannot serve."""


class ModelAnswerError(ModelError):
    """A model's answer is out of range or not of the form asked for."""


class LedgerError(TradeloomError):
    """An entry would break an invariant of the ledger."""
