# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of one boot: who may come in, and whom we talk to."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from harness.guest.ssh import ECDSAKey

KIND = "ecdsa-sha2-nistp256"
_NAME = KIND.encode()
_CURVE = b"nistp256"


@dataclass(frozen=True)
class BootKeys:
    """Two key pairs made for one boot: the user's, which is ours, and the guest's."""

    user: ec.EllipticCurvePrivateKey
    host: ec.EllipticCurvePrivateKey

    def authorized_keys(self) -> bytes:
        """Return the line that lets our key in."""
        return _NAME + b" " + base64.b64encode(_public(self.user)) + b"\n"

    def host_key(self) -> bytes:
        """Return the guest's private key in dropbear's form.

        That is the public blob and the private number, each with its length, as in dropbear's
        `buf_put_ecdsa_priv_key`.
        """
        number = self.host.private_numbers().private_value
        # A multi-precision integer is signed: a zero byte keeps it positive.
        return _public(self.host) + _string(number.to_bytes(number.bit_length() // 8 + 1))

    def user_key(self) -> ECDSAKey:
        """Return our key as paramiko wants it."""
        from harness.guest.ssh import ECDSAKey

        return ECDSAKey(vals=(self.user, self.user.public_key()))

    def host_blob(self) -> bytes:
        """Return the guest's public key as it comes over the wire."""
        return _public(self.host)


def save_keys(keys: BootKeys) -> bytes:
    """Return both private keys in PEM, for a file that nobody else may read."""
    return b"".join(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for key in (keys.user, keys.host)
    )


def load_keys(data: bytes) -> BootKeys:
    """Return the keys that `save_keys` wrote.

    Raises:
        ValueError: they are no two keys of our kind.
    """
    end = b"-----END PRIVATE KEY-----\n"
    keys = [load_pem_private_key(part + end, None) for part in data.split(end)[:-1]]
    if len(keys) != 2 or not all(isinstance(key, ec.EllipticCurvePrivateKey) for key in keys):
        raise ValueError("not the two keys of a boot")
    return BootKeys(*(key for key in keys if isinstance(key, ec.EllipticCurvePrivateKey)))


def make_keys() -> BootKeys:
    """Return new keys."""
    return BootKeys(
        ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    )


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _string(_NAME) + _string(_CURVE) + _string(point)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data
