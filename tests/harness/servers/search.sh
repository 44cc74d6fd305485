#!/usr/bin/env bash
# Becomes a search server on loopback, one node: search.sh HOME DIRECTORY PORT [key=value…]
# HOME is what fetch.sh printed; DIRECTORY holds all that this node writes, and outlives it.
# SEARCH_PASSWORD: TLS (conf/ca.crt) and the user `admin` with that password; Elasticsearch only.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
home=$1 directory=$2 port=$3
shift 3

case ${home##*/} in
    opensearch-*) program=opensearch prefix=OPENSEARCH java=21 ;;
    elasticsearch-8.*) program=elasticsearch prefix=ES java=17 ;;
    *) program=elasticsearch prefix=ES java=21 ;;
esac
java_home="$("$here/java.sh" "$java")"

if [ ! -d "$directory/conf" ]; then
    mkdir -p "$directory"/{data,logs,tmp,repo}
    cp -r "$home/config" "$directory/conf"
    # These paths are relative to the working directory, which is to be this node's own.
    sed -i -e "s#-javaagent:agent/#-javaagent:$home/agent/#" -e "s#HeapDumpPath=data#HeapDumpPath=$directory/logs#" \
        -e "s#ErrorFile=logs/#ErrorFile=$directory/logs/#" -e "s#file=logs/#file=$directory/logs/#" \
        "$directory/conf/jvm.options"
    [ -z "${SEARCH_PASSWORD:-}" ] || "$here/secure.sh" "$directory/conf"
fi

settings=(cluster.name=tests node.name=one discovery.type=single-node network.host=127.0.0.1
    "http.port=$port" transport.port=0 "path.data=$directory/data" "path.logs=$directory/logs"
    "path.repo=$directory/repo" cluster.routing.allocation.disk.threshold_enabled=false)
if [ "$program" = elasticsearch ]; then
    if [ -n "${SEARCH_PASSWORD:-}" ]; then
        settings+=(xpack.security.enabled=true)
        for layer in http transport; do
            for setting in enabled=true key=node.key certificate=node.crt certificate_authorities=ca.crt; do
                settings+=("xpack.security.$layer.ssl.$setting")
            done
        done
    else
        settings+=(xpack.security.enabled=false)
    fi
fi

# A search server refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chown -R 65534:65534 "$directory"
fi
cd "$directory"
exec "${as[@]}" env HOME="$directory" "${prefix}_JAVA_HOME=$java_home" "${prefix}_PATH_CONF=$directory/conf" \
    "${prefix}_TMPDIR=$directory/tmp" "${prefix}_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1" \
    "$home/bin/$program" "${settings[@]/#/-E}" "${@/#/-E}"
