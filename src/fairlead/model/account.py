"""CHAP accounts: who may log in, and with which secret. Spec: RFC 7143 §12.1."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, model_validator

from fairlead.model.frozen import Model

# Spec: RFC 7143 §12.1.3 asks for secrets of at least 96 random bits; a shorter one can be found
# off line by whoever hears one exchange. 256 bytes is more than any initiator lets people type.
SECRET_BYTES_MIN: Final = 12
SECRET_BYTES_MAX: Final = 256

AccountUser = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]


class ChapAccount(Model):
    """One CHAP name and its secret, in the file itself or in a file of its own.

    Attributes:
        user: CHAP_N, 1..255 printable ASCII characters without a space.
        secret: 12..256 bytes.
        secret_file: path of a file that holds the secret; one final newline is not part of it.
    """

    user: AccountUser
    secret: SecretStr | None = None
    secret_file: str | None = None

    @model_validator(mode="after")
    def _has_one_good_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError(
                f"CHAP account {self.user!r} needs one of secret and secret_file, "
                f"and has {'neither' if self.secret is None else 'both'}"
            )
        if self.secret is not None:
            check_secret(self.user, self.secret.get_secret_value())
        return self


def check_secret(user: str, secret: str) -> None:
    """Check the length of a secret; the message never shows it.

    Raises:
        ValueError: shorter than 12 bytes or longer than 256.

    Spec: RFC 7143 §12.1.3.
    """
    length_bytes = len(secret.encode())
    if not SECRET_BYTES_MIN <= length_bytes <= SECRET_BYTES_MAX:
        raise ValueError(
            f"the secret of CHAP account {user!r} has {length_bytes} bytes; "
            f"take {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}"
        )
