"""Places where only a secret stands: a URL before the @, a statement after PASSWORD, a command after its flag."""

QUOTE = r"\\*[\"'`]"  # escaped or not

# What stands before a secret in a command line.
_COMMANDS = (
    r"redis-cli\b[^|;\n]*?\s(?:-a|--pass)",
    r"sshpass\s+-p",
    r"mysql(?:dump|admin)?\b[^|;\n]*?\s-p",
    r"(?:docker|podman|helm\s+registry|oc|az)\s+login\b[^|;\n]*?\s-p",
    r"(?:curl|http|https|wget|xh)\s[^|;\n]*?(?:-u|-a|--user|--auth|--proxy-user)[ =]?[\"']?[^\s:\"']*:",
    r"vault\s+login(?:\s+-\S+)*",
    r"openssl\b[^|;\n]*?\s(?:-k|-K|-pass(?:in|out)?)",
    r"(?:un)?zip\b[^|;\n]*?\s-P",
    r"7za?\b[^|;\n]*?\s-p",
    r"(?:storepass|keypass)",
    r"snmp\w+\b[^|;\n]*?\s(?:-c|-A|-X)",
    r"ipmitool\b[^|;\n]*?\s-P",
    r"ldap\w+\b[^|;\n]*?\s-w",
    r"(?:cqlsh|mongo(?:sh|dump)?)\b[^|;\n]*?\s-p",
    r"rabbitmqctl\s+(?:add_user|change_password)\s+\S+",
    r"htpasswd\s+-\w*b\w*\s+\S+\s+\S+",
)
PLACES = (
    (
        "private_key",
        r"(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))",
    ),
    (
        "password_hash",
        r"(\{S?(?:SHA|MD5|SSHA|CRYPT|PBKDF2)[0-9-]*\}[A-Za-z0-9+/=$.]{20,}|\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{22,53}|\$argon2(?:id|i|d)\$[A-Za-z0-9$=,+/.]+"
        r"|\$(?:1|5|6|y|7|apr1|scrypt)\$[./A-Za-z0-9=$]{16,})",
    ),
    (
        "url_password",
        r"(?i)(?:postgres(?:ql)?|mysql|mariadb|rediss?|valkeys?|mongodb|amqps?|nats|kafka|clickhouse|ldaps?|smtps?)(?:\+\w+)?"
        r"://[^\s/:@\"'<>\\]*:([^\s\"'\\]+)@",
    ),
    ("url_userinfo", r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>?#\\]*:([^\s/\"'?#\\]+)@"),
    ("url_token", r"(?i)https?://([^\s/:@\"'<>?#\\]{16,})@"),
    (
        "url_signature",
        r"(?i)[?&](?:sig|signature|x-(?:amz|goog)-signature|code|assertion|ticket|key|auth|st|hash|access)=([^&\s\"'<>#\\]{16,})",
    ),
    ("url_signature", r"(?i)[?&;](?:sig|signature|sas|x-amz-security-token)=([^&\s\"'<>#\\]{6,})"),
    ("url_password", r"(?i)jdbc:oracle:\w+:[^\s/@\"']+/([^\s\"'\\@]+)@"),
    ("dsn_password", r"[A-Za-z0-9_.-]+:([^\s\"'\\]+)@(?:tcp|unix)\("),
    (
        "webhook",
        r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
        r"|[a-z0-9]+\.webhook\.office\.com/webhookb2)/([A-Za-z0-9_/@+-]{20,})",
    ),
    ("aws_secret", rf"A[KS]IA[A-Z0-9]{{16}}(?:{QUOTE})?\s*[,:;|\s]\s*(?:{QUOTE})?([A-Za-z0-9/+]{{40}})\b"),
    (
        "session_cookie",
        r"(?i)(?:\b(?:sess|session|sid)|\w+_session|connect\.sid|phpsessid|jsessionid|sessionid)=([A-Za-z0-9_.%+/=:-]{16,})",
    ),
    ("paging_key", r"(?i)(?:routing|integration|service)_?key\W{1,8}([0-9a-f]{32}|R[0-9A-Z]{31})\b"),
    ("sql_password", r"(?i)\b(?:PASSWORD|IDENTIFIED\s+BY)\s+(?:[EN]|U&)?'((?:[^'\\]|''|\\.)*)(?:'|\z)"),
    ("sql_password", r"(?i)\bPASSWORD\s+''([^']+)(?:''|\z)"),
    ("sql_password", r"(?is)\bPASSWORD\s+\$\w*\$(.*?)(?:\$\w*\$|\z)"),
    ("quoted_password", r"(?i)\b(?:password|passphrase)\s+\\*\"([^\s\"\\]+)\\*\""),
    ("row", r"(?:Failing row contains \(|[Pp]arameters: \$1 = |COPY \S+, line \d+(?:, column \S+)?: )([^\n]+)"),
    (
        "xml_value",
        r"<(?:[a-z]\w*:)?(?i:[\w.-]*(?:password|passwd|secret|token|(?:api|access|secret|private)[_-]?key)\d*)>([^<]+)</",
    ),
    ("redis_acl", rf"(?i)\bSETUSER(?:{QUOTE})?\s+\S+\s(?:[^\n]*?[\s\"'])?([><#][^\n]*)"),
    (
        "redis_auth",
        rf"\bAUTH2?(?:{QUOTE})?\s+(?:{QUOTE})?[^\s\"\\]+(?:{QUOTE})?\s+(?:{QUOTE})?([^\s\"\\]+)(?:{QUOTE})?\s+(?:{QUOTE})?(?:SETNAME|KEYS)",
    ),
    ("password_hash", r"(?:^|[^A-Za-z0-9*]|\x1b\[[0-9;]*m)(\*[0-9A-F]{40})\b"),
    ("login_password", r"(?m)(?:^|[\s>\]])PASS\s+([^\s\"'/:]{4,})\s*$"),
    ("login_password", r"(?i)\bSSWS\s+([A-Za-z0-9_-]{20,})"),
    ("xml_value", r"<(?:\w+:)?(?:AttributeValue|NameID|BinarySecurityToken|SignatureValue)(?:\s[^<>]*)?>([^<]+)</"),
    (
        "manifest",
        r"(?i)\bkind:\s*[\"']?secret[\"']?\s(?:[^\0]*?\n)?\s*(?:data|stringData):\s*\n((?:[ \t]+\S[^\n]*\n?|[ \t]*\n)+)",
    ),
    ("manifest", r"(?i)\n?\s*(?:data|stringData):\s*\n((?:[ \t]+\S[^\n]*\n)+)[^\0]*?\bkind:\s*[\"']?secret\b"),
    ("redis_acl_hash", r"(?:^|[\s\"'])#([0-9a-f]{64})\b"),
    *(("command_password", rf"\b{command}\s*[\"']?(?:pass:)?([^\s\"'$|-][^\s\"']*)") for command in _COMMANDS),
)
