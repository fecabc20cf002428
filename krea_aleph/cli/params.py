"""The options that commands share. Those of the contract come from the contract."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, make_dataclass
from typing import Annotated, Any, Final, Literal

from cyclopts import Group, Parameter

from krea_aleph import contract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST: Final = Group("Request", sort_key=10)
CONTRACT: Final = Group("Options of the contract", sort_key=12)
WAITING: Final = Group("Waiting", sort_key=20)
FILES: Final = Group("Files", sort_key=15)
CONNECTION: Final = Group("Account and connection", sort_key=30)

_ENVIRONMENT: Final = {"account": "KREA_ACCOUNT", "store": "KREA_STORE"}


@Parameter(name="*", group=CONNECTION)
@dataclass(frozen=True, kw_only=True)
class Common:
    """For whom a command acts, how it gets there, and how it says what it has found."""

    json: Annotated[
        bool, Parameter(help="Print one JSON document a line on stdout, and nothing else.")
    ] = False
    api_key_file: Annotated[
        str | None,
        Parameter(
            env_var="KREA_API_KEY_FILE",
            metavar="FILE",
            allow_leading_hyphen=True,
            help="A file that holds the API key, - for stdin. Otherwise KREA_API_KEY has it.",
        ),
    ] = None
    base_url: Annotated[
        str | None, Parameter(metavar="URL", help="The API's address, instead of KREA_BASE_URL.")
    ] = None
    account: Annotated[
        str | None,
        Parameter(
            env_var=_ENVIRONMENT["account"],
            metavar="LABEL",
            help="A name of yours for the account, which keeps its jobs apart.",
        ),
    ] = None
    proxy: Annotated[
        str | None, Parameter(metavar="URL", help="A proxy, instead of those of the environment.")
    ] = None
    trusted_host: Annotated[
        list[str] | None,
        Parameter(
            metavar="HOST",
            help="A host that may be unencrypted and have a private address; repeatable.",
        ),
    ] = None
    request_timeout: Annotated[
        float | None, Parameter(metavar="SECONDS", help="For one exchange with the server; 60.")
    ] = None
    verbose: Annotated[bool, Parameter(alias="-v", help="Print the library's log on stderr.")] = (
        False
    )

    def given(self) -> dict[str, Any]:
        """Return the options of a client that were given."""
        found = {
            "base_url": self.base_url,
            "account": self.account,
            "proxy": self.proxy,
            "trusted_hosts": self.trusted_host or None,
            "request_timeout": self.request_timeout,
        }
        return {name: value for name, value in found.items() if value is not None}


@Parameter(name="*", group=CONNECTION)
@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Where it is written down what was submitted."""

    store: Annotated[
        str | None,
        Parameter(
            env_var=_ENVIRONMENT["store"],
            metavar="FILE",
            help="Where submits are written down, a file or a postgresql:// URL; default: a file in"
            " the state folder.",
        ),
    ] = None
    exclusive: Annotated[
        bool,
        Parameter(
            help="Every submit of the account goes through this store: lost ones can be found."
        ),
    ] = False


@Parameter(name="*", group=WAITING)
@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, and what becomes of a job that is not waited for any more."""

    wait_timeout: Annotated[
        float | None,
        Parameter(
            metavar="SECONDS",
            help="How long to wait, 0 for ever; default: 2 h 10 min, time in the backlog not"
            " counted.",
        ),
    ] = None
    abandon: Annotated[
        Literal["leave", "cancel"],
        Parameter(show_default=True, help="What becomes of the job at Ctrl-C or when time is up."),
    ] = "leave"

    def wait(self) -> dict[str, float | None]:
        """Return the argument of the call that waits."""
        if self.wait_timeout is None:
            return {}
        return {"wait_timeout": self.wait_timeout or None}


@Parameter(name="*", group=REQUEST)
@dataclass(frozen=True, kw_only=True)
class Wish:
    """What goes with a request beside what the contract has."""

    intent: Annotated[
        str | None,
        Parameter(
            metavar="NAME",
            help="Your name for what is wanted: the same name and request is paid once.",
        ),
    ] = None
    new: Annotated[
        int,
        Parameter(
            count=True,
            help="Make another variant, and pay for it, where the same was submitted before and is"
            " over; said twice, also where it is not.",
        ),
    ] = 0
    extra_body: Annotated[
        str | None,
        Parameter(
            metavar="JSON", help="Further fields of the request, which the contract need not know."
        ),
    ] = None
    checks: Annotated[
        Literal["error", "warn", "off"],
        Parameter(
            show_default=True,
            help="What to do about a request that the installed contract forbids.",
        ),
    ] = "error"
    webhook_url: Annotated[
        str | None, Parameter(metavar="URL", help="What Krea is to call when the job has ended.")
    ] = None
    dry_run: Annotated[
        bool,
        Parameter(alias="-n", help="Check everything, print what would be sent, and send nothing."),
    ] = False


Exists = Annotated[
    Literal["error", "replace", "keep"],
    Parameter(
        group=FILES,
        show_default=True,
        help="What to do when the file exists, looked at before paying.",
    ),
]
"""What becomes of a file that is in the way."""


def _taken() -> frozenset[str]:
    """Return the names that options of ours have, which no field of the contract can have."""
    ours = (field.name for part in (Common, Keeping, Patience, Wish) for field in fields(part))
    return frozenset({*ours, "output", "exists", "delete_upload", "help"})


def field_of(option: contract.Option) -> tuple[str, Any, None]:
    """Return a field of the contract as an option of the command line, which takes a text.

    The library spells a name that is its own with an underscore behind it. One that is ours is
    spelt with what it is before it, as in ``--contract-output``.
    """
    name = option.name.rstrip("_")
    prefix = "contract-" if name in _taken() else ""
    choices = ", ".join(map(str, option.schema.get("enum", ())))
    parameter = Parameter(
        name=f"--{prefix}{name.replace('_', '-')}",
        help=" ".join(filter(None, [option.description, choices and f"One of {choices}."])),
        metavar=_metavar(option.schema),
    )
    return option.name, Annotated[str | None, parameter], None


def _metavar(schema: Mapping[str, Any]) -> str:
    if schema.get("media"):
        return "MEDIA"
    names = {"string": "TEXT", "number": "NUMBER", "integer": "NUMBER", "boolean": "true|false"}
    return names.get(str(schema.get("type")), "JSON")


if TYPE_CHECKING:

    @dataclass(frozen=True)
    class Fields:
        """The optional fields of the contract, each as the text that was given for it."""
else:
    Fields = Parameter(name="*", group=CONTRACT)(
        make_dataclass(
            "Fields",
            [field_of(option) for option in contract.options().values()],
            namespace={"__module__": __name__},  # else it would count as one of Python's own
            frozen=True,
            kw_only=True,
        )
    )


def texts(given: Fields | None) -> dict[str, str]:
    """Return the texts that were given for fields of the contract."""
    if given is None:
        return {}
    return {name: text for name, text in asdict(given).items() if text is not None}


def words_again(given: Common | Keeping) -> list[str]:
    """Return the options that a further command needs to reach the same account."""
    found: list[str] = []
    for name, value in asdict(given).items():
        if name in {"json", "verbose"} or not value or value == _environment(name):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            found += [word for entry in value for word in (option, entry)]
        else:
            found += [option] if value is True else [option, str(value)]
    return found


def _environment(name: str) -> str | None:
    return os.environ.get(_ENVIRONMENT.get(name, ""))
