"""What a name says of the value beside it: `DB_PASSWORD_PROD`, `secretKeyBase`, `X-Api-Key`, `customer_id`.

A name is read as words: its stem says what it is, and the words around the stem whether it holds the secret itself
(`password_old`), or something about it (`password_resets_total`, `existingSecret`).
"""

import re
from functools import lru_cache

import re2

WEAK = "value"  # a name that is often no secret's: only a random value beside it is removed
KEY = "key"  # even more often, so the value must be random beyond doubt

_OF_A_KEY = (
    "access|account|admin|aes|api|app|application|auth|certificate|client|consumer|crypto|decryption|deploy|encryption|fernet|gpg|hmac"
    "|integration|jwt|keystore|license|licence|master|merchant|organi[sz]ation|pass|private|priv|project|registration|root|routing"
    "|secret|security|service|service_account|session|shared|shared_access|sign|signing|signature|ssh|ssl|storage|subscription|symmetric"
    "|tls|user|vault|verification|wallet|webhook"
    "|algolia|anthropic|aws|azure|cloudflare|datadog|dd|firebase|github|gitlab|google|grafana|heroku|honeycomb|mailchimp|mailgun|mapbox"
    "|maps|new_?relic|okta|openai|pagerduty|paypal|rollbar|segment|sendgrid|sentry|shopify|slack|square|stripe|supabase|telegram|twilio"
)
SECRET_STEMS = {
    "password": r"pass_?(?:word|wd|phrase|code)s?|passwort|kennwort|contrase(?:n|ñ)a|senha|wachtwoord|mot_?de_?passe|passw(?=_|\d|\Z)|pwd"
    r"|(?<![a-z])(?:db|user|usr|auth|root|admin|bind|smtp|ldap|mysql|pg|my|sql|ftp|mail|svc|key|store|trust)?_?"
    r"(?:pass|pw|psw|pswd)(?=_|\d|\Z)|requirepass|masterauth|rediscli_auth",
    "api_key": rf"(?:{_OF_A_KEY})_?(?:access_?)?(?:key|pem)s?(?:_?(?:id|data|secret))?"
    r"|(?<![a-z])(?:jwk|pem|private|p12|pfx)(?=_?(?:key|pem|data))",
    "token": r"token|bearer|(?:client|saml|jwt)_?assertion|(?<![a-z])jwt|(?<![a-z])pat(?=\Z)",
    "secret": r"secret(?:_id)?|secrets(?=\Z)",
    "credential": r"(?<![a-z])creds?|credentials?|docker_?config_?json|docker_?cfg|saml_?response|(?<![a-z])htpasswd",
    "authorization": r"authorization|auth_header",
    "cookie": r"cookies?",
    "session": r"sessionid|phpsessid|jsessionid|connect_sid",
    "card": r"card_?(?:number|num|no)|(?:card_?)?(?<![a-z])(?:cvv2?|cvc2?|cvn)|(?<![a-z])pan(?=_?number)|(?<![a-z])iban",
    "one_time_code": r"(?<![a-z])[th]?otp(?:_?code)?|(?:mfa|2fa|verification|one_?time|recovery|backup|sms|login|confirmation|security"
    r"|device|auth|authorization|reset|pairing|unlock)_?codes?|pass_?codes?",
    "phrase": r"mnemonic(?:_phrase)?|(?:seed|recovery|secret|wallet|backup)_?(?:phrase|words)|(?:security|secret)_?answers?|wallet_?seed",
    WEAK: r"(?<![a-z])(?:salt|pepper|pin|auth|session(?:_id)?|sid|passkey|sess)",
    KEY: r"keys?(?=_|\d|\Z)",
}
IDENTIFIER_STEMS = {
    "email": r"e_?mail(?:_?addr(?:ess)?)?s?",
    "customer": r"customer_?(?:id|uuid|ref|number)s?",
    "user": r"(?:user|member|subscriber|contact|visitor)_?(?:id|uuid)s?",
}
CONNECTION = r"dsn|conninfo|connection_?(?:string|ur[il])|database_?ur[il]"

# Words after a stem that make it something about a secret.
_ABOUT_WORDS = """
    encoder decoder factory java py go rb js ts util utils handler filter config configuration builder callback processor
    resolver interceptor test tests spec module plugin exception impl helper stdin stdout from to of by with for name names
    ref refs file files path paths dir folder type types kind count counts counter total totals size bytes len length age ttl
    lifetime duration expiry expires expire expired expiration exp iat issued issuer created updated modified rotated rotation
    at on in time times timestamp date days seconds timeout url uri endpoint host port address policy policies rule rules
    reset resets encryption encrypted algorithm alg algo manager provider providers service server store version enabled
    disabled required requires require valid validity validation validator invalid verified status state error errors failure
    failures failed attempts attempt tries retries changed change changes command cmd supports support reload prompt hint
    field fields label labels format min max minimum maximum limit limits usage used remaining budget bucket rate quota cost
    pool index seq sequence idx column table strength score history source src scope scopes audience aud class mode method
    methods flow grant info metadata meta only missing mount mounts volume volumes annotation annotations selector controller
    reader writer operator engine backend group groups list per requests request requested s ms us duration_seconds latency
    review reviews sync auth authenticated authentication authenticator based protected less permission permissions
    placeholder parameter param params variable var env cache cached hits misses present set unset exists found mismatch match
    matches user users owner role roles account accounts namespace checks check is needed ok removed revoked loaded generation
    generated generator id ids uid key_ref keyref fingerprint thumbprint checksum digest prefix header_name
"""
_ABOUT = frozenset(_ABOUT_WORDS.split())
_ABOUT_TOKEN = _ABOUT | {"key", "keys"}
_BEFORE = {
    "secret": r"existing|image_?pull|pull|tls|external|sealed|kube|k8s|no|mount|ref|kind|cert|certificate",
    "token": r"public_key|public|max|next|page|continue|continuation|unexpected|num|n|prompt|completion|input|output|cached|total|reserved"
    r"|invalid|sep|eos|bos|pad|unk|cancellation|pagination|cursor|start|end|first|last|syntax|ref|kind|per|avg|mean|generated|stop|mask|special|design",
    "password": r"no|has|is|use|uses|allow|show|hide|forgot|requires?|needs?|reset|by",
    KEY: r"public|primary|foreign|sort|partition|cache|idempotency|object|shard|group|dedup|trace|request|correlation",
    WEAK: r"no|has|is|use|require|basic|in|last|current|max|min|active",
}
_STEMS = {**SECRET_STEMS, **IDENTIFIER_STEMS, "connection": CONNECTION}
_NAME = re.compile("|".join(f"({stem})" for stem in _STEMS.values()))
_NOT_BEFORE = {label: re.compile(rf"(?:.*_)?(?:{words})_?\Z") for label, words in _BEFORE.items()}
_IS_OR_HAS = re.compile(
    r"(?:.*_)?(?:is|has|needs|requires?|missing|invalid|allow|enable|disable|use|uses|skip|validate|verify|without)_\Z"
)
_VERSION = re.compile(r"(?:.*_)?(?:version|release|build)")
_CAMEL = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_BETWEEN = re.compile(r"[\W_]+")

# Where a name may stand in a text: the stems more loosely, in one pattern; `label_of_key` decides.
ANY_NAME = (
    r"(?i:pass(?:word|wd|phrase|code|wort|e)|[_-]?pass|kennwort|contrase(?:n|ñ)a|senha|wachtwoord|pwd|psw|pswd|pw|requirepass|masterauth"
    r"|rediscli_auth|key|pem|token|bearer|assertion|jwt|secret|creds?|credential|docker_?cfg|docker_?config_?json|saml_?response"
    r"|authorization|auth[_-]?header|cookie|sess[_-]?(?:ion)?[_-]?id|sessid|connect\.sid|card[_ -]?num(?:ber)?|card[_ -]?no|cvv|cvc|cvn"
    r"|iban|otp|code|mnemonic|phrase|(?:security|secret)[_ -]?answer|seed|salt|pepper|pins?|auth|session|sid"
    r"|e[_-]?mail|customer[_ -]?(?:id|uuid|ref|number)|(?:user|member|subscriber|contact|visitor)[_ -]?(?:id|uuid)|dsn|conninfo)"
)

# Of which each of them has one.
GUARD = (
    "pass|pwd|pw|psw|kennwort|contrase|senha|wachtwoord|masterauth|rediscli_auth|key|pem|token|bearer|assertion|jwt|secret|cred|docker|saml"
    "|auth|cookie|sess|connect.sid|card|cvv|cvc|cvn|iban|otp|code|mnemonic|phrase|answer|seed|salt|pepper|pin|sid|mail|customer|user|member"
    "|subscriber|contact|visitor|dsn|conninfo"
)


def _normal(name: str) -> str:
    """As words in lower case, joined by underscores: `X-Api-Key` → `x_api_key`."""
    apart = _CAMEL.sub(lambda match: f"{match[1] or match[3]}_{match[2] or match[4]}", name)
    return _BETWEEN.sub("_", apart).strip("_").lower()


@lru_cache(maxsize=20_000)
def label_of_key(key: str) -> str:
    """The label of a value under this key: a kind of secret, a class of identifier, `connection`, `version`, or "" for nothing known."""
    if key in ("PWD", "OLDPWD", "userid") or len(key) > 200:
        return ""
    name = _normal(key)
    if _VERSION.fullmatch(name):
        return "version"
    return next(filter(None, (_label(name, match) for match in reversed(list(_NAME.finditer(name))))), "")


def _label(name: str, match: re.Match) -> str:
    label = list(_STEMS)[(match.lastindex or 0) - 1]
    before, after = name[: match.start()], name[match.end() :]
    if after[:1] and after[0] not in "_0123456789" and after != "s":
        return ""  # `tokenizer`, `secretary`
    rest = [word for word in after.split("_") if word]
    if label in IDENTIFIER_STEMS or label == "connection":
        return "" if rest else label
    if after == "s" and label in ("token", WEAK, "secret"):
        return ""
    return "" if _is_about(label, before, rest) else label


def _is_about(label: str, before: str, rest: list[str]) -> bool:
    """Whether the name is of a property of a secret, or of its place, rather than of the secret."""
    about = _ABOUT_TOKEN if label in ("token", "password") else _ABOUT
    if any(word in about for word in rest) or _IS_OR_HAS.match(before):
        return True
    if label == WEAK and (rest and not rest[0].isdigit()):
        return True
    return label in _NOT_BEFORE and bool(_NOT_BEFORE[label].match(before)) and (label != "password" or not rest)


_FLAG = re2.compile(r"--?[\w-]+")


@lru_cache(maxsize=10_000)
def is_flag(argument: str) -> bool:
    """Whether the next argument of a command line is a secret: `--token`, `requirepass`."""
    label = label_of_key(argument.lstrip("-"))
    named = argument in ("requirepass", "masterauth") or _FLAG.fullmatch(argument) is not None
    return named and label in SECRET_STEMS and label not in (WEAK, KEY)


# Letters that follow a letter in English words and names of programs: the 300 most frequent pairs, of which random letters have few.
_FOLLOWING = """
    abcdfgiklmnprstuvwxy baeijlorsuy cacehikloprstu dabcdegilorsu eabcdefgiklmnopqrstuvwxy faefilorstu gaceghilnorsu
    haeilortuy iabcdefgklmnoprstvxz jaeiou kaeiosu ladefiklmopstuvy mabeilmopsu nabcdefgiklnoprstuvy oabcdefgiklmnoprstuvw
    paeghiloprstuy qu rabcdefgiklmnoprstuvy sacefhiklmnopstuy tacdefghilmnoprstuwxy uabcdefgilmnprst vaeio waehinors xaceimpst
    yaeilmnopst zaei
"""
_PAIRS = frozenset(word[0] + then for word in _FOLLOWING.split() for then in word[1:])


@lru_cache(maxsize=20_000)
def is_word(value: bytes) -> bool:
    """Words, as prose and names have them, rather than random letters: `expired`, `pg-main`, `Invalid`; not `yafrgfuikqz`, `XNhUVF`."""
    return all(_is_one_word(part) for part in re.split(r"[-._/: ]+", value.decode(errors="replace")) if part)


def _is_one_word(part: str) -> bool:
    letters = part.rstrip("0123456789") if len(part) > 3 else part
    if not letters.isalpha():
        return part.isdigit() and len(part) <= 4
    if letters not in (letters.lower(), letters.upper(), letters.capitalize()):
        return (
            all(map(_is_one_word, re.findall("[A-Z]?[a-z]+", letters)))
            and re.fullmatch("(?:[A-Z]?[a-z]{2,})+", letters) is not None
        )
    lower = letters.lower()
    known = sum(lower[at : at + 2] in _PAIRS for at in range(len(lower) - 1))
    return len(lower) < 4 or known >= 0.75 * (len(lower) - 1)
