//! The keys `listen`, `counts` and `kubernetes`: who reaches the engine, and how it reaches the cluster.

use std::net::SocketAddr;

use kubernetes::Access;
use settings::Table;

pub(super) fn address(table: &mut Table<'_>) -> Option<SocketAddr> {
    let text = table.string_or("listen", "127.0.0.1:8080");
    let parsed = text.parse();
    if parsed.is_err() {
        table.problem(
            "listen",
            format!("{text:?} is not an address; write an address and a port, like 0.0.0.0:8080"),
        );
    }
    parsed.ok()
}

pub(super) fn kubernetes(mut table: Table<'_>) -> Access {
    let file = table.string("kube_config_file");
    table.finish();
    file.map_or(Access::InCluster, |file| Access::KubeConfig(file.into()))
}
