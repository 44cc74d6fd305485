# What the scripts of this folder share; sourced by each of them.
# HEADROOM_CLUSTER names the cluster, so that several run side by side; HEADROOM_KUBERNETES names another cache folder.
# shellcheck shell=bash disable=SC2034
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"

cluster="${HEADROOM_CLUSTER:-headroom}"
cache="${HEADROOM_KUBERNETES:-${XDG_CACHE_HOME:-$HOME/.cache}/headroom/kubernetes}"
bin="$cache/bin" images="$cache/img"
# Everything a cluster keeps. Not below /run: that is memory, and often mounted `noexec`.
clusters=/var/lib/headroom-kubernetes
state="$clusters/$cluster"

# Where each node has its own, in place of the machine's.
node_folders=(/var/log /var/lib/cni /var/lib/headroom /var/lib/kubelet /var/lib/volumes /run/containerd)

# The same in every cluster: each has its own network namespaces.
control_ip=10.90.0.1 services=10.96.0.0/16 pods=10.244.0.0/16
control_netns="/run/netns/$cluster-control"
export KUBECONFIG="$state/admin.kubeconfig"

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# apt_get ARGUMENT…: another one may hold the lock for a while.
apt_get() {
    apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

# say WHAT…: with the seconds since the script started.
say() {
    printf '%4d s  %s\n' "$SECONDS" "$*"
}

must_be_root() {
    [ "$(id -u)" = 0 ] || die "must run as root: it makes network namespaces, cgroups and mounts"
}

must_be_built() {
    [ -x "$bin/kubelet" ] && [ -f "$images/pause.tar" ] || die "nothing is built yet: run $here/build"
}

# inside COMMAND…: in the control plane's network namespace.
inside() {
    nsenter --net="$control_netns" "$@"
}

kubectl() {
    inside "$bin/kubectl" "$@"
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || die "timed out waiting for $what; what was said lies in $state/log"
        sleep 0.2
    done
}

# When a process started, in ticks since boot: with its pid, it is told from a later one of the same pid.
started() {
    local stat
    stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
    # Behind the name, which may hold spaces: a dead one that nobody waited for is none.
    read -ra stat <<<"${stat##*) }"
    [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}

# start LABEL NETNS COMMAND…: in the background, its pid in $state/pids/LABEL, its words in $state/log/LABEL.log.
start() {
    local label=$1 netns=$2
    shift 2
    setsid nsenter --net="$netns" "$@" >>"$state/log/$label.log" 2>&1 </dev/null &
    echo "$! $(started $!)" >"$state/pids/$label"
}

# pid_of LABEL: of a process that was started and runs.
pid_of() {
    local pid since
    read -r pid since 2>/dev/null <"$state/pids/$1" && [ "$(started "$pid")" = "$since" ] && echo "$pid"
}

is_running() {
    pid_of "$1" >/dev/null
}

# end LABEL [SIGNAL]: and waits for it; whatever does not end in ten seconds is killed.
end() {
    local pid tries=0
    if pid="$(pid_of "$1")"; then
        kill "-${2:-TERM}" "$pid"
        while is_running "$1"; do
            sleep 0.1
            tries=$((tries + 1))
            [ "$tries" != 100 ] || kill -KILL "$pid"
        done
    fi
    rm -f "$state/pids/$1"
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]: signed by the cluster's own authority, once.
certificate() {
    local file="$state/pki/$1"
    [ ! -f "$file.crt" ] || return 0
    {
        echo "extendedKeyUsage=clientAuth,serverAuth"
        [ -z "${3:-}" ] || echo "subjectAltName=$3"
    } >"$file.ext"
    # Nodes that start at once have no file of serial numbers in common.
    {
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$file.key" -out "$file.csr" -subj "$2" &&
            openssl x509 -req -in "$file.csr" -CA "$state/pki/ca.crt" -CAkey "$state/pki/ca.key" -days 3650 \
                -set_serial "0x$(openssl rand -hex 16)" -extfile "$file.ext" -out "$file.crt"
    } 2>>"$state/log/openssl.log" || die "cannot make the certificate $1; why stands in $state/log/openssl.log"
}

# kubeconfig FILE CERTIFICATE
kubeconfig() {
    cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: $cluster, cluster: {server: "https://$control_ip:6443", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $2, user: {client-certificate: $state/pki/$2.crt, client-key: $state/pki/$2.key}}]
contexts: [{name: $cluster, context: {cluster: $cluster, user: $2}}]
current-context: $cluster
YAML
}

# Where a node's processes stand, in each hierarchy of version 1 or in the one of version 2.
cgroups_of() {
    find /sys/fs/cgroup -maxdepth 2 -type d -name "$cluster-$1"
}

# remove_cgroups NODE: those of a node that is gone; its last processes take a moment to be so.
remove_cgroups() {
    local folder tries=0
    while [ -n "$(cgroups_of "$1")" ] && [ "$tries" -lt 100 ]; do
        for folder in $(cgroups_of "$1"); do
            find "$folder" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        done
        tries=$((tries + 1))
        [ "$tries" = 1 ] || sleep 0.1
    done
    [ -z "$(cgroups_of "$1")" ] || echo "${0##*/}: cannot remove the cgroups of $1: $(cgroups_of "$1")" >&2
}
