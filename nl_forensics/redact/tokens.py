"""Tokens that their first letters reveal: ours, and those of gitleaks (MIT; `gitleaks.json` names its release and has its licence)."""

import json
from importlib.resources import files

TOKENS = {
    "stripe_key": r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    "stripe_webhook_secret": r"whsec_[A-Za-z0-9+/=_-]{16,}",
    "stripe_client_secret": r"(?:pi|seti|cs|src)_[A-Za-z0-9_]+_secret_[A-Za-z0-9]{8,}",
    "aws_key": r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b",
    "aws_session": r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/=]{40,}",
    "github_token": r"gh[opusr]_[A-Za-z0-9_]{30,}|github_pat_[A-Za-z0-9_]{22,}",
    "gitlab_token": r"gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-[A-Za-z0-9_.-]{20,}|GR1348941[A-Za-z0-9_-]{20,}",
    "slack_token": r"xox[abcdeoprs](?:\.xox[bp])?-[A-Za-z0-9+/%-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",
    "google_key": r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{40,}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "twilio_key": r"SK[0-9a-f]{32}\b",
    "mail_key": r"key-[0-9a-f]{32}\b|[0-9a-f]{32}-us\d{1,2}\b|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|xkeysib-[0-9a-f]{64}-\w+",
    "registry_token": r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|rubygems_[0-9a-f]{48}|dckr_[po]at_[A-Za-z0-9_-]{20,}"
    r"|AKCp[A-Za-z0-9]{60,}|cio[A-Za-z0-9]{32}\b",
    "grafana_token": r"gls?[ac]_[A-Za-z0-9_+/=]{32,}|eyJrIjoi[A-Za-z0-9_+/=-]{30,}",
    "vault_token": r"hv[sbr]\.[A-Za-z0-9_-]{20,}",
    "azure_secret": r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}|[A-Za-z0-9]{52}JQQJ[A-Za-z0-9]{20,}"
    r"|[A-Za-z0-9+/]{30,80}(?:AIoT|\+(?:ASt|ABa|AMC|AEh|ARm|ACR)|ACDb|AzFu|AzSe|AzCa|APIM|AZDO|AZEG)[A-Za-z0-9+/]{4,8}={0,2}",
    "age_key": r"AGE-SECRET-KEY-1[0-9A-Za-z]{50,}",
    "telegram_token": r"\d{8,10}:AA[A-Za-z0-9_-]{33}",
    "observability_key": r"NRAK-[A-Z0-9]{27}|NR(?:II|AA|BR|JS)-[A-Za-z0-9-]{20,}|sntry[su]_[A-Za-z0-9_+/=-]{30,}"
    r"|dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{40,}|lsv2_[a-z]{2}_[0-9a-f_]{32,}|ph[xs]_[A-Za-z0-9]{32,}|u\+[A-Za-z0-9_-]{18}\b",
    "cloud_token": r"cf(?:ut|at|k)_[A-Za-z0-9]{40,}|nfp_[A-Za-z0-9_]{36}|rnd_[A-Za-z0-9]{32}|hc[a-z]{2,3}_[a-z0-9]{50,}|rk_[0-9a-f]{40}|"
    r"do[opr]_v1_[0-9a-f]{64}|HRKU-[A-Za-z0-9_-]{30,}|dapi[0-9a-f]{32}|dp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9_.-]{40,}"
    r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,}|sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,}|pul-[0-9a-f]{40}"
    r"|tskey-[a-z]+-[A-Za-z0-9-]{16,}|fo1_[A-Za-z0-9_-]{40,}|fm[12][ar]?_[A-Za-z0-9+/=]{40,}"
    r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}|LTAI[A-Za-z0-9]{20}|ABSK[A-Za-z0-9+/=]{100,}",
    "application_token": r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}|FLW(?:SECK|PUBK)(?:_TEST)?"
    r"-[0-9A-Za-z]{12,}(?:-X)?|rzp_(?:live|test)_[A-Za-z0-9]{14}|oy2[a-z0-9]{43}|(?:sdk|mob)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|BBDC-[A-Za-z0-9+/@_-]{40,}"
    r"|[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}|spu-[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{56,}"
    r"|lin_(?:api|oauth)_[A-Za-z0-9]{32,}|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}|fig[dor]_[A-Za-z0-9_-]{36,}"
    r"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|AT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{24,}|sq[pua]_[0-9a-f]{40}|CCIP(?:AT|RJ)_[A-Za-z0-9_]{20,}"
    r"|bkua_[0-9a-f]{40}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|EZ[AT]K[A-Za-z0-9]{54}",
    "ai_key": r"sk-[0-9a-f]{32}\b|api_org_[A-Za-z0-9]{30,}"
    r"|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{40,}",
    "jwt": r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}",
    "password_hash": r"SCRAM-SHA-\d+\$\d+:[A-Za-z0-9+/=]+(?:\$[A-Za-z0-9+/=:]*)?|md5[0-9a-f]{32}\b"
    r"|(?:pbkdf2|scrypt)[_:][a-z0-9_:]*\$[A-Za-z0-9$:+/=.]{20,}",
}
GITLEAKS = json.loads(files("nl_forensics.redact").joinpath("gitleaks.json").read_bytes())
