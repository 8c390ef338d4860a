"""Exceptions: one class for each kind of cause, each with a stable code.

A message gives the cause, its place and count, and the remedy.  Input is checked in three places: when
an object is constructed, when a network is built, and when the data is validated.  Later code trusts its input.
"""

import importlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = [
    "ConfigError",
    "DataError",
    "DivergenceError",
    "FiresteelError",
    "SparkJobError",
    "SparkSetupError",
    "StoreError",
    "without_secrets",
]


HIDDEN = "***"
"""The text that replaces a secret."""
LONG = 3_000
"""The longest message, in characters; a longer one loses its middle."""
STRONG = (
    "passw|pwd|passphrase|(db|user|root|admin|smtp|mail|sql|api)pass$|secret|token(?!iz|s$)|signature|credential"
    "|connectionstring|sessionid|azuresas|assertion"
    "|(access|account|api|auth|encryption|functions?|hmac|instrumentation|master|private|service|session|shared|signing|ssl|storage"
    "|subscription)key"
)
"""Parts of names of secrets, in lower case without separators."""
HARMLESS = ".*(name|file|path|provider|type|class|url|uri|endpoint|expir(y|es)|length|size|count|column)s?"
"""Names that describe a secret but do not hold it."""
WHOLE = {"authorization", "bearer", "cookie", "jwt", "otp", "pass"}
"""Names of secret settings that must match as a whole."""
WEAK = WHOLE | {
    *("auth", "authkey", "code", "hmac", "key", "oauthverifier", "pat", "pin", "pw", "resourcekey", "rlkey"),
    *("samlresponse", "sas", "session", "sid", "sig"),
}
"""Names of secret query parameters that must match as a whole."""
PORTS = {"dbfs", "file", "har", "hdfs", "maprfs", "mesos", "spark", "swebhdfs", "viewfs", "webhdfs"}
"""URL schemes without passwords: a colon precedes a port."""
PASSWORD = r"\b([a-zA-Z][\w+.-]{0,31})(:/{1,3})([^\s/@:?#]*):((?:(?!://)\S)*)@"
USER = r"\b(https?:/{1,3})(?![a-z._-]{1,16}@)[^\s/@:?#]+@"
ORACLE = r"(jdbc:oracle:\w+:)\S{0,300}@"
FRAGMENT = r"#([\w+/=~-]{12,})"
NAME = (
    r"""(?<![\w./-])(?:([\w.-]+)"""
    r"""(?:\s*=\s*|\\*["']\s*[:=]\s*(?=\\*["']|\d{4})|:[ \t]+(?=["']?(?=[^\s"']*\d)[^\s"']{8}))"""
    r"""|--([\w-]+)[ \t]+(?=[^\s-])|((?:fs|hadoop|spark)\.[\w.-]+)(?:[ \t]+(?=\S{8})|["'][ \t]*,[ \t]*(?=["'])))"""
)
"""A name before its value: followed by an equals sign or a colon, a command-line option, or a Spark property."""
VALUE = r"""\{[^}]{1,300}\}|b?"(?:[^"\\]|\\.)+"|b?'(?:[^'\\]|\\.)+'|\\+["'][^"'\\]+|[^&;\s"'<>]+"""
HEADER = (
    r"(?i)\b(authorization\W{1,4}(?:\w+\s+)?|bearer\s+(?=\S{8})|passw(?:or)?d:\s+|cookie:\s+\w+="
    r"|(?:access|account|api|secret)[ _.-]?key:\s+)[^\s\"']+"
)
SHAPES = (
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}\b|AIza[\w-]{30,}|dapi[0-9a-f]{32}|eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*|gh[opsur]_\w{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|npm_\w{30,}|pypi-A[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{20,}"
    r"|sk[-_](?=[a-z_-]*\w*\d)[\w-]{20,}|ya29\.[\w-]{20,}|xox[abeprs]-[\w-]{10,}"
    r"|(?<=hooks\.slack\.com/services/)\S+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
"""The shapes of keys and tokens of well-known services, recognized anywhere in a text."""


def without_secrets(value: Any) -> Any:
    """Remove secrets from a text or from the texts in settings.

    Everything that firesteel shows or logs goes through this function.

    Passwords in URLs are cut out, so that the rest still names the same place; secret parameters and settings become
    `***`.  A user name without a password, such as the container in an Azure URL, is not a secret.

    Args:
        value: A text, or a mapping or sequence that contains texts; any other value is returned unchanged.

    Returns:
        The value without secrets.

    Example:
        >>> without_secrets("s3a://key:sec/ret@bucket/rows.csv?sig=aB3&n=2: file not found")
        's3a://bucket/rows.csv?sig=***&n=2: file not found'
        >>> without_secrets({"train": "abfss://container@account/rows", "fs.s3a.secret.key": "aB3"})
        {'train': 'abfss://container@account/rows', 'fs.s3a.secret.key': '***'}
    """
    if isinstance(value, Mapping):
        return {
            without_secrets(name): HIDDEN if _is_secret(name, item) else without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)([without_secrets(item) for item in value])
    if not isinstance(value, str):
        return value
    text = re.sub(PASSWORD, _without_password, value)
    text = re.sub(ORACLE, r"\1@", re.sub(USER, r"\1", text))
    text = re.sub(SHAPES, HIDDEN, re.sub(HEADER, rf"\1{HIDDEN}", _without_values(text)))
    return re.sub(r"\S+", _address, text)


def _is_secret(name: Any, item: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(item, str | list | tuple)
        and item != ""
        and (name.lower() in WHOLE or _names_secret(name, False))
    )


def _names_secret(name: str, weak: bool) -> bool:
    """Return whether a name is that of a secret.  weak: whether names count that are secret only in a URL."""
    squeezed = re.sub(r"[\W_]", "", name).lower()
    if squeezed in WEAK:
        return weak
    key = (weak or "." in name) and re.search(r"[\W_]key$", name.lower()) is not None
    return (key or re.search(STRONG, squeezed) is not None) and not re.fullmatch(HARMLESS, squeezed)


def _without_password(found: re.Match[str]) -> str:
    scheme, slashes, user, rest = found.groups()
    begin, kind = scheme + slashes, scheme.lower()
    port = re.match(r"\d{1,5}/", rest) is not None and ("." in user or user == "localhost")
    if kind in PORTS or (port and not kind.startswith("s3")):  # host:8020/a@b
        return begin + re.sub("^[^/@]*@", "", found[0].removeprefix(begin))
    named = not kind.startswith(("http", "s3")) and re.fullmatch(r"[a-zA-Z][\w.-]{0,31}", user)
    return f"{begin}{user}@" if named else begin


def _without_values(text: str) -> str:
    """Replace the values of secret settings in a text."""
    parts, at = [], 0
    for found in re.finditer(NAME, text):
        before = text[max(0, found.start() - 1) : found.start()]
        name = found[1] or found[2] or found[3]
        if found.start() < at or not _names_secret(name, before in tuple("?&;#")):
            continue
        if (value := re.compile(VALUE).match(text, found.end())) is not None:
            opening, quote = re.match(r"""(b?["']|\\+["'])?""", value[0])[0], value[0][-1:]  # type: ignore[index]
            whole = opening or value[0][0] == "{"
            end = value.end() if whole else found.end() + len(value[0].rstrip(":,.)]}"))
            parts += [text[at : found.end()], opening, HIDDEN, quote if quote in opening else ""]
            at = end
    return "".join([*parts, text[at:]])


def _address(found: re.Match[str]) -> str:
    """Remove access tokens from a word that may be a URL, percent-encoded ones too."""
    word = found[0]
    if "://" in word:
        word = re.sub(FRAGMENT, lambda part: f"#{HIDDEN}" if _is_opaque(part[1]) else part[0], word)
    plain = unquote(word)
    clean: str = plain if plain == word else without_secrets(plain)
    return word if clean == plain else clean


def _is_opaque(text: str) -> bool:
    """Return whether a text mixes digits, lower-case and upper-case letters, as tokens do."""
    return all(re.search(kind, text) for kind in ("[0-9]", "[a-z]", "[A-Z]"))


class FiresteelError(Exception):
    """Base class of firesteel's exceptions.

    Secrets are removed from the message and control characters in it are escaped.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> try:
        ...     raise ConfigError("units must be at least 1, got 0", code="config-value")
        ... except FiresteelError as error:
        ...     print(error.code, "|", error)
        config-value | units must be at least 1, got 0 [config-value]
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code or self.default_code
        shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in message)
        clean = without_secrets(shown)
        if len(clean) > LONG:  # values and names can have any length
            clean = f"{clean[: LONG // 2]} ... {clean[-LONG // 2 :]}"
        super().__init__(f"{clean} [{self.code}]")


class ConfigError(FiresteelError, ValueError):
    """An invalid argument, layer, network or training setting.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> raise ConfigError("units must be at least 1, got 0", code="config-value")
        Traceback (most recent call last):
        firesteel.errors.ConfigError: units must be at least 1, got 0 [config-value]
    """

    default_code = "config"


class DataError(FiresteelError, ValueError):
    """Rows that cannot be trained on or scored, found before the first update.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> from firesteel.utils import to_categorical
        >>> to_categorical([[0, 1]])
        Traceback (most recent call last):
        firesteel.errors.DataError: y has shape (1, 2): give one class index per row [data-shape]
    """

    default_code = "data"


class StoreError(FiresteelError, ValueError):
    """A file that cannot be read or written, is not a firesteel model, or is damaged.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> from firesteel.models import load_model
        >>> load_model("unknown.firesteel")
        Traceback (most recent call last):
        firesteel.errors.StoreError: unknown.firesteel cannot be read: No such file or directory [store-read]
    """

    default_code = "store"


class DivergenceError(FiresteelError, RuntimeError):
    """Training produced a loss or weights that are infinite or NaN.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Attributes:
        state: The last good training state.

    Example:
        >>> DivergenceError("the loss became infinite or NaN in epoch 3").code
        'diverged'
    """

    default_code = "diverged"
    state: Any = None


class SparkSetupError(FiresteelError, RuntimeError):
    """Spark cannot run: no Java or one too old, no pyspark, or executors that lack packages.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> SparkSetupError("Java 17 or newer is required").code
        'spark-setup'
    """

    default_code = "spark-setup"


class SparkJobError(FiresteelError, RuntimeError):
    """A Spark job failed in all of its attempts; the session remains usable.

    Args:
        message: The cause, its place, and the remedy.
        code: A stable, hyphenated identifier that programs can test.

    Example:
        >>> SparkJobError("the job failed on an executor").code
        'spark-job'
    """

    default_code = "spark-job"


def imported(name: str, what: str, extra: str, kind: type[FiresteelError], code: str) -> Any:
    """Import a module from an optional package.

    Args:
        name: The module.
        what: The feature that needs it, for the message.
        extra: The extra of firesteel that installs the package.
        kind: The class of the error if the package is missing.
        code: The code of the error.

    Returns:
        The module.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        text = f'{what} needs {error.name}, which is not installed: pip install "firesteel[{extra}]"'
        raise kind(text, code=code) from None
