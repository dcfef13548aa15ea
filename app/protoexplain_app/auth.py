"""Who may come in: a file of users with slow hashes of their passwords; wrong passwords cost more and more time."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.atomic import write_file
from protoexplain_app.roles import Role, role_named

COST, BLOCK, PARALLEL = 1 << 15, 8, 1
"""Of scrypt: a tenth of a second and 32 MB for each guess."""
LONGEST_PASSWORD, LARGEST_FILE = 1000, 1_000_000
FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0
"""Seconds after the first wrong password; doubled by each further one."""
MOST_WAITING = 5
_NOBODY = ""
"""Unknown users share one account of wrong passwords."""


@dataclass(frozen=True)
class Account:
    """A user as the file says.  Args: secret: the password as `hashed`; role: None where the file says none."""

    secret: str
    role: Role | None = None

    @property
    def line(self) -> str:
        """As it is written after the name."""
        return f"{self.secret}:{self.role}" if self.role else self.secret


def hashed(password: str) -> str:
    """A password as it is stored: `scrypt$cost$block$parallel$salt$hash`."""
    salt = os.urandom(16)
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${_text(salt)}${_text(digest)}"


def basic(header: str) -> tuple[str, str]:
    """Name and password of the header `Authorization: Basic`, as programs send it; both empty where it is none."""
    kind, _, content = header.partition(" ")
    try:
        user, _, password = base64.b64decode(content, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return "", ""
    return (user, password) if kind.lower() == "basic" else ("", "")


def ask_user(path: Path | None, user: str, role: Role | None = None) -> None:
    """Ask for a password at the terminal and let a user in.

    Raises:
        UserError: As `add_user`; no file, or two different passwords.
    """
    if path is None:
        raise UserError("no file of users is named", "--add-user", "give it with --auth FILE")
    password = getpass(f"Password of {user}: ")
    if password != getpass("The same again: "):
        raise UserError("these are two different passwords", "", "try again")
    may = add_user(path, user, password, role).role or "look, unless --role says more"
    print(f"{user} may log in now ({may}): protoexplain app --auth {path}")


def add_user(path: Path, user: str, password: str, role: Role | None = None) -> Account:
    """Write a user into a file, which is made if it is missing; without a role, who is in it already keeps theirs.

    Raises:
        UserError: A name or a password that cannot be used, or a file that cannot be read or written.
    """
    if not user or not user.isprintable() or ":" in user or user != user.strip():
        raise UserError(f"'{user}' cannot be a user's name", "", "use printable characters without a colon")
    if not 8 <= len(password) <= LONGEST_PASSWORD:
        raise UserError(f"the password has {len(password)} characters", "", f"use 8 to {LONGEST_PASSWORD}")
    users = _read(path) if path.exists() else {}
    users[user] = Account(hashed(password), role or (users[user].role if user in users else None))
    write_file(path, "".join(f"{name}:{account.line}\n" for name, account in users.items()))
    path.chmod(0o600)
    return users[user]


class Login:
    """Checks names and passwords; one guess at a time for each user.

    Args:
        path: File with a line `name:hash` or `name:hash:role` for each user.

    Raises:
        UserError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._users = _read(path)
        if not self._users:
            raise UserError("nobody may log in: the file has no users", str(path), "add one with --add-user NAME")
        self._stranger = Account(hashed(_text(os.urandom(16))))
        self._wrong: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def roles(self) -> Mapping[str, Role]:
        """User -> role, of those for whom the file says one."""
        return {user: account.role for user, account in self._users.items() if account.role}

    async def check(self, user: str, password: str) -> bool:
        """Whether the password is right; a wrong one before makes everybody who gives this name wait."""
        account = user if user in self._users else _NOBODY
        if self._waiting[account] >= MOST_WAITING or len(password) > LONGEST_PASSWORD:
            return False
        self._waiting[account] += 1
        try:
            async with self._turns[account]:
                await asyncio.sleep(self.delay(account))
                right = await asyncio.to_thread(_matches, password, self._users.get(user, self._stranger).secret)
                self._wrong[account] = 0 if right else self._wrong[account] + 1
        finally:
            self._waiting[account] -= 1
        return right and account != _NOBODY

    def delay(self, user: str) -> float:
        """Seconds until the next password of a user is looked at."""
        wrong = self._wrong[user]
        return min(FIRST_DELAY * 2.0 ** min(wrong - 1, 20), LONGEST_DELAY) if wrong else 0.0


def _read(path: Path) -> dict[str, Account]:
    try:
        content = path.read_bytes()[:LARGEST_FILE].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the file of users cannot be read: {error}", str(path), "check --auth") from error
    users = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, rest = line.partition(":")
        secret, _, role = (part.strip() for part in rest.partition(":"))
        if not user or _parts(secret) is None:
            raise UserError(
                f"line {number} is not 'name:scrypt hash'", str(path), "write it with --add-user NAME --auth FILE"
            )
        users[user] = Account(secret, role_named(role, f"{path}, line {number}") if role else None)
    return users


def _matches(password: str, secret: str) -> bool:
    parts = _parts(secret)
    if parts is None:
        return False
    cost, block, parallel, salt, digest = parts
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), digest)


def _parts(secret: str) -> tuple[int, int, int, bytes, bytes] | None:
    fields = secret.strip().split("$")
    if len(fields) != 6 or fields[0] != "scrypt":
        return None
    try:
        cost, block, parallel = map(int, fields[1:4])
        salt, digest = (base64.b64decode(field, validate=True) for field in fields[4:])
    except (ValueError, binascii.Error):
        return None
    sound = 1 << 14 <= cost <= 1 << 20 and cost.bit_count() == 1 and 1 <= block <= 32 and 1 <= parallel <= 16
    return (cost, block, parallel, salt, digest) if sound and len(salt) >= 8 and len(digest) == 32 else None


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    room = 256 * cost * block + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=room, dklen=32)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
