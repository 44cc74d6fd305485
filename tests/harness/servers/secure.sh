#!/usr/bin/env bash
# Writes what a node needs for TLS and one user, `admin`, with the password of SEARCH_PASSWORD: secure.sh CONF
set -euo pipefail
cd "$1"
{
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj "/CN=the tests' authority" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    openssl req -newkey rsa:2048 -nodes -keyout node.key -out node.csr -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >extensions
    openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out node.crt
} 2>openssl.log || { cat openssl.log >&2; exit 1; }
python3 - >users <<'P'
import base64, hashlib, os
salt = os.urandom(32)
key = hashlib.pbkdf2_hmac("sha512", os.environ["SEARCH_PASSWORD"].encode(), salt, 10000, 32)
print("admin:{PBKDF2}10000$%s$%s" % tuple(base64.b64encode(part).decode() for part in (salt, key)))
P
echo superuser:admin >users_roles
