#!/usr/bin/env bash
# Prints the home of a Java that is new enough for a search server: java.sh 21
set -euo pipefail
for home in "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    { [ -n "$home" ] && [ -x "$home/bin/java" ]; } || continue
    version="$("$home/bin/java" -XshowSettings:properties -version 2>&1 |
        sed -n 's/.*java.specification.version = //p')"
    [[ "$version" =~ ^[0-9]+$ ]] || continue
    if [ "$version" -ge "$1" ]; then
        echo "$home"
        exit
    fi
done
echo "java.sh: there is no Java $1 or newer in JAVA_HOME or /usr/lib/jvm: install openjdk-21-jre-headless (Debian 13) \
or name a JDK in JAVA_HOME" >&2
exit 1
