"""Who may do what.  Whatever begins work, writes or exports asks here, on the server; the page only tells it before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from protoexplain.errors import UserError, nearest_name
from protoexplain_app.network import is_local, name_in

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers of servers that pass on what somebody else asks for."""


class Role(StrEnum):
    """What a visitor may do; each may do what those before may."""

    LOOK = "look"
    """See everything, and have models answer on pictures."""
    MEASURE = "measure"
    """Begin work in the background: measure, look at all pictures, try out edits, make reports."""
    EDIT = "edit"
    """Write checkpoints."""

    def covers(self, needed: Role) -> bool:
        """Whether who has this role may do what needs another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


def role_named(name: str, where: str) -> Role:
    """A role by its name.

    Args:
        name: As written in `Role`.
        where: What gave it.

    Raises:
        UserError: There is none of that name.
    """
    try:
        return Role(name)
    except ValueError as error:
        raise UserError(f"there is no role '{name}'", where, nearest_name(name, list(Role))) from error


@dataclass(frozen=True)
class Access:
    """The role of each visitor.

    Args:
        others: Of visitors with no account, or whose account says none.
        here: Of whoever works at the computer on which the app runs; None where that makes no difference.
        accounts: User -> role, of those whose account says one.
    """

    others: Role = Role.LOOK
    here: Role | None = None
    accounts: Mapping[str, Role] = field(default_factory=dict)

    def role_of(self, request: HTTPConnection | None, user: str | None) -> Role:
        """The role of whoever sent a request.

        Args:
            request: None where it is not known.
            user: Name of who is logged in, None for nobody.
        """
        if user is not None and user in self.accounts:
            return self.accounts[user]
        if self.here is not None and request is not None and comes_from_here(request):
            return self.here
        return self.others

    def role(self) -> Role:
        """The role of whoever waits for the answer that this thread is working on."""
        if self.others is Role.EDIT and not self.accounts:
            return Role.EDIT
        from gradio.context import LocalContext

        asked = LocalContext.request.get(None)
        return self.others if asked is None else self.role_of(asked.request, asked.username)

    def allows(self, needed: Role) -> bool:
        """Whether whoever waits for an answer may do what needs a role."""
        return self.role().covers(needed)

    def require(self, needed: Role, deed: str) -> None:
        """Refuse what needs a role that whoever waits for an answer does not have.

        Args:
            needed: The least role.
            deed: What was asked for, as the beginning of a sentence, as ``measuring``.

        Raises:
            UserError: It is refused.
        """
        role = self.role()
        if not role.covers(needed):
            raise UserError(
                f"{deed} needs the role '{needed}', and you have the role '{role}'",
                "",
                "ask whoever runs this page for an account with that role",
            )

    def refusal(self, needed: Role, deed: str) -> str:
        """Why `require` would refuse, for the page; empty where it would not."""
        try:
            self.require(needed, deed)
        except UserError as error:
            return error.what
        return ""


EVERYTHING = Access(Role.EDIT)
"""Whoever asks may do everything."""


def comes_from_here(request: HTTPConnection) -> bool:
    """Whether a request was sent by a program on this computer to this computer by name, and for nobody else.

    The names are looked at because a page of another site may have its own name lead to this computer, and because a
    proxy on this computer may ask by another name than its visitors, whose browsers say theirs as the origin.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    names = [name_in(f"//{host}"), *([] if origin is None else [name_in(origin)])]
    client = request.client.host if request.client else ""
    return is_local(client) and all(map(is_local, names)) and not any(name in request.headers for name in FORWARDED)
