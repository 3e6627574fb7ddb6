"""Names that are made of a stem and more, and the places where a name and its secret stand. Values are made from a seed."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nl_forensics.redact import Redactor
from nl_forensics.redact.names import label_of_key
from tests.redact.test_redact import ALNUM, DIGITS, HEX, KEY, LOWER, UPPER, after, as_json, chars, leaks, seeded

NAMES = (
    *(
        "DB_PASSWORD_PROD",
        "DB_PASSWORD_1",
        "password2",
        "passwordStaging",
        "pwd_old",
        "rootpw",
        "SMTP_PASS",
        "bindPassword",
        "passwort",
    ),
    *(
        "STRIPE_SECRET_KEY_LIVE",
        "secretKeyBase",
        "SECRET_KEY_BASE",
        "api_key_2",
        "apikey",
        "AccountKey",
        "DD_API_KEY",
        "deploy_key",
    ),
    *(
        "authToken",
        "X-Auth-Token",
        "id_token",
        "client_assertion",
        "SIGNING_SECRET",
        "creds",
        "recovery_code",
        "otp",
        "cvc",
    ),
    *(
        "security_answer",
        "seed_phrase",
        "spring.datasource.password",
        "kafka_sasl_password",
        "encryption-key",
        "webhook_secret_eu",
    ),
)
NO_SECRETS = (
    *(
        "password_changed_at",
        "passwordPolicy",
        "has_password",
        "password_min_length",
        "PASSWORD_FILE",
        "password_hint",
        "no_password",
    ),
    *(
        "token_type",
        "tokenExpiresIn",
        "max_tokens",
        "next_page_token",
        "token_url",
        "tokenizer",
        "prompt_tokens",
        "PublicKeyToken",
    ),
    *(
        "secretName",
        "existingSecret",
        "secret_ref",
        "imagePullSecrets",
        "key_count",
        "public_key",
        "primary_key",
        "authorization_mode",
    ),
    *(
        "cookie_name",
        "session_timeout",
        "session_count",
        "auth_method",
        "keyboard",
        "compass",
        "bypass",
        "secretary",
        "token_from",
    ),
)

CONTEXTS: dict[str, str] = {
    "json": '{{"a": {{"{name}": "{value}"}}, "z": 1}}',
    "kubernetes": '{{"name": "{name}", "value": "{value}"}}',
    "kubernetes, value first": '{{"value": "{value}", "name": "{name}"}}',
    "array": '["{name}", "{value}"]',
    "python tuple": "[('host', 'db'), ('{name}', '{value}')]",
    "python call": "connect(host='db', {name}='{value}')",
    "rust": 'Config {{ host: "db", {name}: "{value}", port: 1 }}',
    "rust option": 'Config {{ {name}: Some("{value}"), port: 1 }}',
    "go": "{{Host:db {name}:{value} Port:5432}}",
    "go map of lists": "map[Host:[db] {name}:[{value}]]",
    "go variable": 'var {name} string = "{value}"',
    "typescript": 'const {name}: string = "{value}";',
    "java object": "Config(host=db, {name}={value}, port=1)",
    "java property": 'System.setProperty("{name}", "{value}")',
    "php": '${name} .= "{value}"',
    "make": '{name} ?= "{value}"',
    "properties": "{name} = {value}\nport = 1",
    "xml attribute": '<add key="{name}" value="{value}"/>',
    "xml element": "<c><{name}>{value}</{name}></c>",
    "xml property": '<property name="{name}">{value}</property>',
    "markdown": "| {name} | {value} |",
    "diff": "-  {name}: old\n+  {name}: {value}",
    "prose": "the {name} is {value}",
    "prose, set": "{name} was set to {value}",
    "dash": "{name} - '{value}'",
    "flag": "run --{name} {value} --x",
    "flag=": "run --{name}={value} --x",
    "helm": "helm upgrade x ./c --set auth.{name}={value},replicas=2",
    "docker": "docker run -e {name}={value} image",
    "query": "GET /cb?x=1&{name}={value}&y=2 HTTP/1.1",
    "ado": "Server=db;{name}={value};Timeout=3",
    "comparison": 'if ("{value}" == {name}) {{',
    "two values": "{name} = '{value}' | '{value}'",
    "multipart": 'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b',
}
AMBIGUOUS = (
    "array",
    "python tuple",
    "markdown",
    "prose",
    "prose, set",
    "go",
    "go map of lists",
    "xml property",
)  # where words may stand, too
VALUES: dict[str, Callable[[random.Random], str]] = {
    "random": after("a1B", ALNUM, 20),
    "human": lambda rng: "Tr0ub4dor" + chars(DIGITS, 3)(rng),
    "letters": chars(LOWER, 11),
}


def written(context: str, name: str, value: str) -> str:
    return CONTEXTS[context].format(name=name, value=value)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_stem_and_more_gives_its_secret_away_nowhere(name):
    for context in CONTEXTS:
        for kind in ("random", "human", *(["letters"] if context not in AMBIGUOUS else [])):
            text = written(context, name, value := VALUES[kind](seeded(name, context, kind)))
            assert not leaks(text, Redactor(KEY).text(text), value), text


def test_random_letters_are_told_from_words_where_a_word_may_stand():
    cases = [(name, context) for name in NAMES for context in AMBIGUOUS]
    kept = 0
    for name, context in cases:
        text = written(context, name, value := VALUES["letters"](seeded(name, context, "letters")))
        kept += leaks(text, Redactor(KEY).text(text), value)
    assert kept < 0.12 * len(cases)


@pytest.mark.parametrize("name", NO_SECRETS)
def test_a_name_of_something_about_a_secret_is_no_secret(name):
    assert label_of_key(name) == ""
    for text in (f"{name}=acme-7 x=1", f'{{"{name}": "acme-7"}}', f"--{name} acme-7", f"the {name} is acme-7"):
        assert Redactor(KEY).text(text) == text


def test_numbers_under_the_name_of_a_secret():
    record = {
        "password": 12345678,
        "card_number": 4242424242424242,
        "pin": 4711,
        "has_password": True,
        "token_count": 3,
        "user_id": 7,
    }
    clean = Redactor(KEY).record(record)
    assert clean["password"] == "<SECRET:password>"
    assert clean["card_number"] == "<SECRET:card>"
    assert {name: clean[name] for name in ("has_password", "token_count", "user_id")} == {
        "has_password": True,
        "token_count": 3,
        "user_id": 7,
    }


COMMANDS = {
    "http": "http -a admin:{} GET x",
    "helm": "helm registry login -u a -p {} r",
    "openssl": "openssl enc -aes-256-cbc -k {} -in x",
    "unzip": "unzip -P {} x.zip",
    "7z": "7z x -p{} x.7z",
    "keytool": "keytool -list -storepass {} -keystore x",
    "vault": "vault login {}",
    "snmp": "snmpget -v2c -c {} host",
    "ipmi": "ipmitool -H h -U a -P {} power status",
    "ldap": "ldapsearch -x -D cn=a -w {} -b dc=x",
    "netrc": "machine db.internal login app password {}",
    "odbc": "Driver=x;Server=db;UID=app;PWD={};",
    "oracle": "jdbc:oracle:thin:app/{}@//db:1521/x",
    "signature": "https://x.blob.core.windows.net/c/b?sv=2022&sp=r&sig={}%3D",
    "ftp": "PASS {}",
    "redis": 'MIGRATE h 6379 "" 0 1000 AUTH2 app {} KEYS a',
    "redis monitor": '1700.1 [0 10.0.0.4:5] "HELLO" "3" "AUTH" "app" "{}" "SETNAME" "w"',
    "scheme": "Authorization: Key {}",
    "scheme of two words": "Authorization: Api-Token {}",
    "digest": 'Authorization: Digest username="a", response="{}"',
    "manifest": "kind: Secret\nstringData:\n  pg-main: {}\n",
    "saml": "<saml:AttributeValue>{}</saml:AttributeValue>",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_protocols(command):
    value = "q7Z" + chars(ALNUM, 17)(seeded(command))
    text = COMMANDS[command].replace("{}", value)
    assert not leaks(text, Redactor(KEY).text(text), value)


def iban(country: str, account: str) -> str:
    number = "".join(str(int(digit, 36)) for digit in account + country + "00")
    return f"{country}{98 - int(number) % 97:02}{account}"


TOKENS: dict[str, Callable[[random.Random], str]] = {
    "slack configuration": lambda rng: "xo" + "xe.xo" + "xb-1-" + chars(ALNUM + "+/", 80)(rng),
    "azure devops": lambda rng: chars(ALNUM, 76)(rng) + "AZ" + "DO" + chars(ALNUM, 4)(rng),
    "deepseek": after("s" + "k-", HEX, 32),
    "cloudflare": lambda rng: "cf" + "ut_" + chars(ALNUM, 40)(rng) + chars(HEX, 8)(rng),
    "discord": lambda rng: "M" + f"{chars(ALNUM, 23)(rng)}.{chars(ALNUM, 6)(rng)}.{chars(ALNUM, 38)(rng)}",
    "razorpay": after("rzp" + "_live_", ALNUM, 14),
    "openshift": after("sha256" + "~", ALNUM + "-_", 43),
    "ldap hash": after("{SS" + "HA}", ALNUM + "+/", 32),
    "mysql hash": after("*", DIGITS + "ABCDEF", 40),
    "harness": lambda rng: "p" + f"at.{chars(ALNUM, 22)(rng)}.{chars(ALNUM, 24)(rng)}.{chars(ALNUM, 20)(rng)}",
    "prefect": after("pn" + "u_", LOWER + DIGITS, 36),
    "octopus": after("AP" + "I-", UPPER + DIGITS, 26),
    "iban of Germany": lambda rng: iban("DE", chars(DIGITS, 18)(rng)),
    "iban of Britain": lambda rng: iban("GB", "NWBK" + chars(DIGITS, 14)(rng)),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_of_many_vendors(kind):
    for around in ("{}", "got {} here", '{{"a":"{}"}}', "value:{};next", "(`{}`)", "\x1b[33m{}\x1b[0m", "&lt;{}&gt;"):
        text = around.replace("{}", secret := TOKENS[kind](seeded(kind, around)))
        assert not leaks(text, Redactor(KEY).text(text), secret), text


def test_a_number_that_is_nearly_an_account_stays():
    text = "DE" + "00" + "500105175407324931"
    assert Redactor(KEY).text(text) == text


CLEAR = Path(__file__).with_name("clear.txt").read_text().splitlines()


def test_lines_that_only_resemble_secrets_stay():
    assert [(text, clean) for text in CLEAR if (clean := Redactor(KEY).text(text)) != text] == []


def test_json_stays_json():
    text = json.dumps({"DB_PASSWORD_PROD": 12345, "note": as_json("pin=4711x9z")})
    assert json.loads(Redactor(KEY).text(text))["DB_PASSWORD_PROD"] == "<SECRET:password>"
