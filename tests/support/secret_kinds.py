"""Every kind of secret in addresses and settings, and texts that only look like secrets."""

TOKEN = "tOkEn0f6e9c4b"

ADDRESSES = {
    "password": f"https://me:{TOKEN}@host/rows.csv",
    "Amazon's keys": f"s3a://AKIAIOSFODNN7EXAMPLE:wJa/{TOKEN}/x+y@bucket/rows.parquet",
    "digits before a slash": f"s3a://reader:12345/{TOKEN}@bucket/rows.csv",
    "slashes and signs": f"https://me:p@ss/w?r#d/{TOKEN}@host/rows.csv",
    "one slash": f"s3a:/me:{TOKEN}@bucket/rows.csv",
    "no user": f"redis://:{TOKEN}@host:6379/0",
    "a token as the user": f"https://{TOKEN}@host/rows.csv",
    "a token as the user, no password": f"https://{TOKEN}:@host/rows.csv",
    "several places": f"s3a://a:{TOKEN}@one/x,s3a://b:{TOKEN}@two/y",
    "several hosts": f"mongodb://me:{TOKEN}@one:1,two:2/db",
    "hdfs": f"hdfs://me:{TOKEN}@node:8020/rows",
    "Azure's signature": f"wasbs://rows@account.blob.core.windows.net/x.csv?sv=1&sig={TOKEN}&se=2",
    "Amazon's signature": f"https://b.s3.amazonaws.com/x?X-Amz-Date=1&X-Amz-Signature={TOKEN}",
    "Amazon's other parameters": f"https://b.s3.amazonaws.com/x?X-Amz-Credential={TOKEN}%2Fx&X-Amz-Security-Token={TOKEN}",
    "Google's signature": f"https://storage.googleapis.com/b/x?X-Goog-Signature={TOKEN}",
    **{
        f"?{name}": f"https://host/rows.csv?n=1&{name}={TOKEN}"
        for name in (
            *("password", "pwd", "token", "access_token", "key", "api_key", "apikey", "secret", "client_secret"),
            *("sas", "code", "AccountKey", "auth", "refresh-token", "subscription-key", "JWT", "Signature"),
            *("hmac", "otp", "pin", "pat", "session", "sid", "client_assertion", "SAMLResponse", "rlkey", "authkey"),
            *("oauth_verifier", "resourcekey", "private_token", "sslkey", "credentials_base64"),
        )
    },
    "a fragment": f"https://host/rows.csv#access_token={TOKEN}&n=1",
    "a token alone behind": f"https://host/rows.csv#{TOKEN}",
    "spelt out": f"https://host/go?to=https%3A%2F%2Fhost%2Fx%3Fsig%3D{TOKEN}",
    "spelt out twice": f"s3a%253A%252F%252Fme%253A{TOKEN}%2540bucket",
    "Spark Connect": f"sc://host:15002/;token={TOKEN};user_id=me",
    "JDBC": f"jdbc:postgresql://me:{TOKEN}@host/db?ssl=true",
    "JDBC's parameters": f"jdbc:mysql://host/db?user=me&password={TOKEN}",
    "JDBC's properties": f"jdbc:sqlserver://host;user=me;password={{{TOKEN};x}};encrypt=true",
    "Oracle": f"jdbc:oracle:thin:scott/{TOKEN}@//host:1521/x",
    "Databricks": f"jdbc:databricks://host:443/x;AuthMech=3;UID=token;PWD={TOKEN}",
}
"""Addresses with secrets."""

SETTINGS = {
    "a connection string": f"DefaultEndpointsProtocol=https;AccountName=me;AccountKey={TOKEN}==;EndpointSuffix=x",
    "a bus": f"Endpoint=sb://host/;SharedAccessKeyName=Root;SharedAccessKey={TOKEN}=",
    **{
        name: f"{name}={TOKEN}"
        for name in (
            *("fs.s3a.secret.key", "spark.hadoop.fs.s3a.access.key", "fs.s3a.session.token", "AWS_SECRET_ACCESS_KEY"),
            *("fs.azure.account.key.me.dfs.core.windows.net", "fs.azure.account.oauth2.client.secret"),
            *(
                "fs.s3a.server-side-encryption.key",
                "fs.azure.sas.rows.me.blob.core.windows.net",
                "spark.ssl.keyPassword",
            ),
        )
    },
    "on a command line": f"--conf spark.hadoop.fs.s3a.secret.key={TOKEN} --x",
    "JSON": f'{{"private_key": "{TOKEN}", "n": 1}}',
    "Python": f"{{'token': '{TOKEN}'}}",
    "TOML": f'password = "a b {TOKEN}"',
    "a header": f"Authorization: Bearer {TOKEN}",
    "another header": f"-H 'authorization: Basic {TOKEN}'",
    "a key": f"-----BEGIN RSA PRIVATE KEY-----\n{TOKEN}\n-----END RSA PRIVATE KEY-----",
    "words": f"password: {TOKEN}",
    "YAML": f"user: me\nclient_secret: {TOKEN}\n",
    "YAML in quotes": f"token: '{TOKEN}'",
    "JSON in JSON": f'{{\\"password\\": \\"{TOKEN}\\"}}',
    "bytes": f"password=b'{TOKEN}'",
    "a password as a flag": f"--password {TOKEN} --x",
    "a key as a flag": f"--api-key {TOKEN}",
    "Spark's defaults": f"spark.hadoop.fs.s3a.secret.key   {TOKEN}",
    "Spark's pairs": f"[('fs.s3a.secret.key', '{TOKEN}')]",
    "a cookie": f"Set-Cookie: session={TOKEN}; path=/",
    "a header of its own": f"X-Auth-Token: {TOKEN}",
    "surroundings": f"DB_PASS={TOKEN}",
    "an instrument": f"InstrumentationKey={TOKEN}",
    "a web hook": f"https://hooks.slack.com/services/T00/B00/{TOKEN}",
    "a key of three parts": f"sk-svc-api03-{TOKEN}{TOKEN}",
    "Stripe's": f"sk_live_{TOKEN}{TOKEN}",
    "Google's": f"ya29.{TOKEN}{TOKEN}",
    "PyPI's": f"pypi-AgEIcHlwaS5vcmc{TOKEN}{TOKEN}",
    "SendGrid's": f"SG.{TOKEN}{TOKEN}.{TOKEN}{TOKEN}",
    "GitHub's": f"clone with ghp_{TOKEN}{TOKEN}",
    "Databricks'": f"dapi{'0f6e9c4b' * 4}",
}
"""Settings with secrets."""

HARMLESS = (
    *("abfss://rows@account.dfs.core.windows.net/a/b", "abfss://rows@account.dfs.core.windows.net:443/x@y"),
    *("wasbs://rows@account.blob.core.windows.net/x", "s3://bucket@region/x", "git@host:repo", "ssh://git@host/x"),
    *("hdfs://node:8020/user=me@corp.com/x@2024.parquet", "https://host.org:8080/a@b", "http://localhost:4040/a@b"),
    *("s3a://bucket/rows@2024.csv", "s3a://bucket/x?versionId=abc", "s3a://b/key=3/token=a/part-0.parquet"),
    *("models:/digits@champion", "spark://host:7077", "local[2]", "https://alice@host/x", "s3://b/file#1.csv"),
    *(
        "file:///tmp/x",
        "https://host/page#section",
        "C:/x@y",
        "https://host/a%2Fb%3Fc",
        "https://h/x?page=2&code_point=3",
    ),
    *(
        "there is no column 'token': did you mean 'tokens'?",
        "[training] code = 3",
        "max_iter=3, key=5",
        "no password here",
        "tokenizer=bert-base",
        "max_tokens=512, token_count=3",
        "column fs.token is missing",
        "step 3 pass=2, cookie=3",
        "{'token': 3}",
        "row: 12345678 of 9",
        "['token', 'age']",
        "--password-file /x/y",
        "spark.executor.memory 4g, fs.s3a.endpoint http://host:9000",
        "task-2024-abcdef1234567890abcdef",
    ),
    "fs.s3a.aws.credentials.provider=org.apache.hadoop.fs.s3a.Simple",
)
"""Texts without secrets, which must not change."""
