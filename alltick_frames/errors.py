"""Every way a call can fail, as one tree.

```
AllTickError
├── ArgumentError (also ValueError)   what can be judged without the network
├── ConfigError                       token, plan, address, directories
├── ApiError                          the vendor answered with an error: .ret .msg .trace .codes
│   ├── AuthenticationError           401
│   ├── UnknownCodeError              600
│   ├── PlanLimitError                603
│   ├── CodeNotPermittedError         604
│   └── RateLimitError                429, 605, 606
├── BudgetError                       the plan's allowance does not suffice now
├── TransportError                    no answer, or one that is not the service's
├── DecodeError                       an answer that cannot be read
├── IncompleteDataError               what the vendor cannot give: .frame .missing
├── StoreError                        the archive on disk
└── StreamError                       the WebSocket side

AllTickWarning (UserWarning)
├── IncompleteDataWarning             as IncompleteDataError, under on_incomplete="warn"
├── HistoryStartWarning               a code begins later than the range asked for
├── ClockSkewWarning                  this machine's clock and the server's differ
├── BudgetWarning                     the budget cannot be shared with other processes
├── LongWaitWarning                   more than a minute, or more than today's allowance
├── OutageWarning                     a watch cannot reach the vendor, and goes on trying
├── PlanWarning                       no plan known: the Free plan's limits are assumed
├── ProductListWarning                the product list is an older one, the built-in one, or lacks rows
└── StreamWarning                     a stream goes on without something
```

Messages name the argument, the value, what is allowed and the next step; none ever holds a token.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alltick_frames.spans import Missing

__all__ = [
    "RET_CODES",
    "AllTickError",
    "AllTickWarning",
    "ApiError",
    "ArgumentError",
    "AuthenticationError",
    "BudgetError",
    "BudgetWarning",
    "ClockSkewWarning",
    "CodeNotPermittedError",
    "ConfigError",
    "DecodeError",
    "HistoryStartWarning",
    "IncompleteDataError",
    "IncompleteDataWarning",
    "LongWaitWarning",
    "OutageWarning",
    "PlanLimitError",
    "PlanWarning",
    "ProductListWarning",
    "RateLimitError",
    "StoreError",
    "StreamError",
    "StreamWarning",
    "TransportError",
    "UnknownCodeError",
]


class AllTickError(Exception):
    """Base of every error this library raises.

    Attributes
    ----------
    frame
        What had been fetched when the call failed, in the frame kind asked for; None if nothing was asked
        yet.
    """

    frame: Any = None


class ArgumentError(AllTickError, ValueError):
    """An argument that can be judged wrong without the network; nothing was sent."""


class ConfigError(AllTickError):
    """A setting (argument or environment variable) that is missing or cannot be used; nothing was sent."""


class ApiError(AllTickError):
    """The vendor answered with an error.

    Attributes
    ----------
    ret
        The vendor's code (error table of the API, section "Error codes").
    msg
        The vendor's text, for people; its wording varies.
    trace
        The request's identifier, which the vendor's support asks for.
    codes
        The product codes of the refused request.
    """

    def __init__(
        self, message: str, *, ret: int = 0, msg: str = "", trace: str = "", codes: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.ret = ret
        self.msg = msg
        self.trace = trace
        self.codes = tuple(codes)


class AuthenticationError(ApiError):
    """401: the token is wrong, missing or expired."""


class UnknownCodeError(ApiError):
    """600: no such product code (codes are case-sensitive)."""


class PlanLimitError(ApiError):
    """603: more products, groups or bars than the plan allows."""


class CodeNotPermittedError(ApiError):
    """604: the plan does not include the product."""


class RateLimitError(ApiError):
    """429, 605 or 606 that did not pass although the client waited."""


class BudgetError(AllTickError):
    """The plan's allowance does not suffice; the message says when it returns."""


class TransportError(AllTickError):
    """No answer arrived, or one that is not the service's, after every retry.

    Attributes
    ----------
    transient
        Whether trying again could help.
    """

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class DecodeError(AllTickError):
    """An answer that cannot be read."""


class IncompleteDataError(AllTickError):
    """The vendor cannot give all that was asked for.

    Attributes
    ----------
    frame
        All there is, in the frame kind asked for.
    missing
        One `Missing` per (code, span) with its reason.
    """

    def __init__(self, message: str, *, missing: Sequence[Missing] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class StoreError(AllTickError):
    """The archive cannot be used, or holds something it should not."""


class StreamError(AllTickError):
    """A stream cannot go on."""


class AllTickWarning(UserWarning):
    """Base of every warning this library gives."""


class StreamWarning(AllTickWarning):
    """A stream goes on without something."""


class IncompleteDataWarning(AllTickWarning):
    """What `IncompleteDataError` says, under `on_incomplete="warn"`."""


class HistoryStartWarning(AllTickWarning):
    """The vendor's history of a code begins later than the range asked for."""


class ClockSkewWarning(AllTickWarning):
    """The clocks of this machine and of the server differ by more than half a minute."""


class BudgetWarning(AllTickWarning):
    """The state directory cannot be used, so this process alone keeps to the plan's limits."""


class LongWaitWarning(AllTickWarning):
    """A call is going to take more than a minute, or more requests than the day's allowance has left."""


class OutageWarning(AllTickWarning):
    """A watch cannot reach the vendor; it goes on trying, and then passes on what it missed."""


class PlanWarning(AllTickWarning):
    """No plan is configured or remembered, so the Free plan's limits are assumed."""


class ProductListWarning(AllTickWarning):
    """The product list is an older one or only what is built in, or rows of it are left out."""


# 601 reads "body empty" in the error table and "no permission for this product" on one page; we only meet it
# on a GET, where the second reading is the possible one. 201, 202, 400 and 402 stay plain `ApiError`s.
RET_CODES: Mapping[int, type[ApiError]] = MappingProxyType(
    {
        401: AuthenticationError,
        429: RateLimitError,
        600: UnknownCodeError,
        601: CodeNotPermittedError,
        603: PlanLimitError,
        604: CodeNotPermittedError,
        605: RateLimitError,
        606: RateLimitError,
    }
)
