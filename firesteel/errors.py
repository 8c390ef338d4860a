"""What firesteel raises when it refuses something: one class for each kind of cause, each with a stable code.

Messages are written for the person who must act: what was found, where, how often, and what to do about it.
Everything that may raise is checked at three places: a constructor, the build of a network, the data; past them
the code trusts its input.
"""

import importlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = [
    "HIDDEN",
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
"""What stands where a secret stood."""
LONG = 3_000
"""Letters of a message, of which the middle is left out where there are more."""
STRONG = (
    "passw|pwd|passphrase|(db|user|root|admin|smtp|mail|sql|api)pass$|secret|token(?!iz|s$)|signature|credential"
    "|connectionstring|sessionid|azuresas|assertion"
    "|(access|account|api|auth|encryption|functions?|hmac|instrumentation|master|private|service|session|shared|signing|ssl|storage"
    "|subscription)key"
)
"""Parts of the names of secrets, in small letters without what stands between words."""
HARMLESS = ".*(name|file|path|provider|type|class|url|uri|endpoint|expir(y|es)|length|size|count|column)s?"
"""Names that say something about a secret."""
WHOLE = {"authorization", "bearer", "cookie", "jwt", "otp", "pass"}
"""Whole names of settings that are secrets, of which parts say nothing."""
WEAK = WHOLE | {
    *("auth", "authkey", "code", "hmac", "key", "oauthverifier", "pat", "pin", "pw", "resourcekey", "rlkey"),
    *("samlresponse", "sas", "session", "sid", "sig"),
}
"""Whole names of secrets among the parameters of an address."""
PORTS = {"dbfs", "file", "har", "hdfs", "maprfs", "mesos", "spark", "swebhdfs", "viewfs", "webhdfs"}
"""Schemes whose addresses hold no password: what stands behind a colon is a port."""
PASSWORD = r"\b([a-zA-Z][\w+.-]{0,31})(:/{1,3})([^\s/@:?#]*):((?:(?!://)\S)*)@"
USER = r"\b(https?:/{1,3})(?![a-z._-]{1,16}@)[^\s/@:?#]+@"
ORACLE = r"(jdbc:oracle:\w+:)\S{0,300}@"
FRAGMENT = r"#([\w+/=~-]{12,})"
NAME = (
    r"""(?<![\w./-])(?:([\w.-]+)"""
    r"""(?:\s*=\s*|\\*["']\s*[:=]\s*(?=\\*["']|\d{4})|:[ \t]+(?=["']?(?=[^\s"']*\d)[^\s"']{8}))"""
    r"""|--([\w-]+)[ \t]+(?=[^\s-])|((?:fs|hadoop|spark)\.[\w.-]+)(?:[ \t]+(?=\S{8})|["'][ \t]*,[ \t]*(?=["'])))"""
)
"""A name before its value: behind an equals sign or a colon, on a command line, or in Spark's properties."""
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
"""What keys and tokens of well-known services look like, wherever they stand."""


def without_secrets(value: Any) -> Any:
    """Remove secrets from a text, or from the texts in settings: all that is written down or shown goes through here.

    Passwords in addresses are left out, so that what is left still names the same place; secret parameters and
    settings become `***`.  A user without a password, such as the container of an Azure address, is no secret.

    Args:
        value: A text, or a mapping or sequence that holds texts; anything else is returned as it is.

    Example:
        >>> without_secrets("s3a://key:sec/ret@bucket/rows.csv?sig=aB3&n=2: there is no such file")
        's3a://bucket/rows.csv?sig=***&n=2: there is no such file'
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
    """Return whether a name is one of a secret.  weak: whether names count that are secret in an address alone."""
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
    """Return a text with other values for the settings in it whose names are those of secrets."""
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
    """Return a word of a text, which may be an address: without a token behind it, or in what it spells out."""
    word = found[0]
    if "://" in word:
        word = re.sub(FRAGMENT, lambda part: f"#{HIDDEN}" if _is_opaque(part[1]) else part[0], word)
    plain = unquote(word)
    clean: str = plain if plain == word else without_secrets(plain)
    return word if clean == plain else clean


def _is_opaque(text: str) -> bool:
    """Return whether a text is of digits, small and capital letters, as tokens are."""
    return all(re.search(kind, text) for kind in ("[0-9]", "[a-z]", "[A-Z]"))


class FiresteelError(Exception):
    """Anything firesteel refuses.  `code` is a stable, hyphenated word that programs may test.

    What a terminal would obey, in names that come out of files, is spelt out.

    >>> raise ConfigError("units must be at least 1, got 0", code="config-units")
    Traceback (most recent call last):
    firesteel.errors.ConfigError: units must be at least 1, got 0 [config-units]
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code or self.default_code
        shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in message)
        clean = without_secrets(shown)
        if len(clean) > LONG:  # it holds a value, or names, as long as somebody made them
            clean = f"{clean[: LONG // 2]} ... {clean[-LONG // 2 :]}"
        super().__init__(f"{clean} [{self.code}]")


class ConfigError(FiresteelError, ValueError):
    """A layer, network or training setting that cannot work."""

    default_code = "config"


class DataError(FiresteelError, ValueError):
    """Rows that cannot be trained on or scored; found before the first update."""

    default_code = "data"


class StoreError(FiresteelError, ValueError):
    """A model file that cannot be written, or is not a firesteel model, or is damaged."""

    default_code = "store"


class DivergenceError(FiresteelError, RuntimeError):
    """Training produced a loss or weights that are not finite.  `state` is the last good one."""

    default_code = "diverged"
    state: Any = None


class SparkSetupError(FiresteelError, RuntimeError):
    """Spark cannot run here: no Java, a Java too old, pyspark missing, or executors without what they need."""

    default_code = "spark-setup"


class SparkJobError(FiresteelError, RuntimeError):
    """A Spark job failed, in all the attempts that Spark makes; the session is as usable as before."""

    default_code = "spark-job"


def imported(name: str, what: str, extra: str, kind: type[FiresteelError], code: str) -> Any:
    """Return a module that needs a package which may be missing.

    Args:
        name: The module.
        what: What needs it, for the message.
        extra: The extra of firesteel that installs the package.
        kind: What is raised where it is missing.
        code: The error's code.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        text = f'{what} needs {error.name}, not installed here: pip install "firesteel[{extra}]"'
        raise kind(text, code=code) from None
