"""What the notification service is told by its environment."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """How mail leaves; everything else is what every service is told."""

    mail_from: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,60}$")]
    """The sender's address; what stands after the `@` is also the domain of every Message-ID."""
    portal_url: Annotated[
        str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:/_\[\]-]*[A-Za-z0-9\]_-]$", max_length=200)
    ]
    """Where people reach the portal, without a slash at its end; an invitation's link begins with it."""
    smtp_host: str
    smtp_port: Annotated[int, Field(ge=1, le=65535)]
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    """`none` is for a server on the same machine."""
    smtp_ca_file: str | None = None
    """Set: the server's certificate is verified against this authority instead of the system's."""
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    """For each step of the conversation with the mail server."""
    mail_poll_s: Annotated[float, Field(gt=0)] = 1.0
    """How often the queue is looked at when nothing wakes the job."""
    mail_retry_s: Annotated[float, Field(gt=0)] = 5.0
    """Pause after a first failed try; each further one doubles it."""
    mail_retry_max_s: Annotated[float, Field(gt=0)] = 300.0
    mail_give_up_days: Annotated[float, Field(gt=0)] = 5.0
    """For how long a mail the server puts off is tried; an unreachable server is waited for without end."""
