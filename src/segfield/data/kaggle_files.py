"""Kaggle's official client for one competition, with the user's own credentials; what its refusals mean.

The client is an extra and is imported when it is needed.
"""

import contextlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segfield.data.archives import check_room

NAME = "carvana-image-masking-challenge"
PAGE = f"https://www.kaggle.com/competitions/{NAME}"


class AccessError(ValueError):
    """Kaggle does not give the files; the message says what to do."""


def download(name: str, place: Path) -> Path:
    """Download one of the competition's zips; what was left half-done goes on.

    Raises:
        AccessError: if Kaggle refuses or cannot be reached.
        ModuleNotFoundError: if the client is not installed: what to type.
        OSError: if there is too little room for the zip and what is in it.
    """
    if zipfile.is_zipfile(place / name) and not (place / f"{name}.kaggle-partial").exists():
        return place / name  # whole already: a zip's list of contents is its end
    place.mkdir(parents=True, exist_ok=True)
    with _explained(name):
        client = _client()
        size = next((file.total_bytes for file in _listed(client) if file.name == name), 0)
        have = sum(path.stat().st_size for path in place.glob(f"{name}*"))
        # Photographs are as big in a zip as out of it.
        check_room(place, 2 * size - min(have, size), f"downloading {name} and unpacking it")
        client.competition_download_file(NAME, name, path=str(place), quiet=not sys.stderr.isatty())
    if not (place / name).is_file():
        raise AccessError(f"Kaggle's client has not written {place / name}. {_by_hand(name)}")
    return place / name


def _client() -> Any:
    """Return the official client, logged in with the user's own credentials."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it explains itself at length; the message here is ours
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
    except SystemExit as error:  # so the client says that it found no credentials, or none that Kaggle takes
        raise AccessError(_NO_CREDENTIALS) from error
    return client


def _listed(client: Any) -> list[Any]:
    return list(client.competition_list_files(NAME, page_size=100).files or ())


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say what the client's errors mean, and what to do."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kaggle":
            raise
        raise ModuleNotFoundError(
            f"Kaggle's client is not installed. Type: pip install -e '.[kaggle]'. {_by_hand(name)}"
        ) from error
    except AccessError as error:
        raise AccessError(f"{error} {_by_hand(name)}") from error
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        library = type(error).__module__.partition(".")[0]
        if status is None and library not in ("requests", "urllib3", "kagglesdk", "kaggle"):
            if isinstance(error, OSError) and "kaggle.json" in str(error):  # an older client without credentials
                raise AccessError(f"{_NO_CREDENTIALS} {_by_hand(name)}") from error
            raise
        reason = _REASONS.get(
            status or 0, f"Kaggle cannot be reached: {error}. Give the same command again: it goes on."
        )
        raise AccessError(f"{name}: {reason} {_by_hand(name)}") from error


def _by_hand(name: str) -> str:
    return (
        f"Or download {name} and the others by hand at {PAGE}/data, and add zips=<folder that they are in> to the "
        "command."
    )


_NO_CREDENTIALS = (
    "Kaggle found no credentials of yours that it takes (401). Log in at https://www.kaggle.com/settings/api, press "
    "'Generate New Token', save the token as ~/.kaggle/access_token or export KAGGLE_API_TOKEN=<token>, and give the "
    "same command again."
)
_REASONS = {
    401: _NO_CREDENTIALS,
    403: (
        f"Kaggle refuses the file (403): its rules must be accepted first. Open {PAGE}/rules in the browser, log in as "
        "the owner of the token, press 'I Understand and Accept', and give the same command again."
    ),
    404: "Kaggle has no such file any more (404).",
    429: "Kaggle asks to wait (429): give the same command again later; it goes on where it stopped.",
}
