//! The key `kubernetes`: how the cluster is reached whose services are discovered.

use kubernetes::Access;
use settings::Table;

/// The service account of the pod, or a kubeconfig, which must be there.
pub(super) fn access(table: &mut Table<'_>) -> Option<Access> {
    let mut table = table.table("kubernetes")?;
    let file = table.string("kube_config_file");
    let access = file.map_or(Access::InCluster, |file| Access::KubeConfig(file.into()));
    if let Err(error) = access.prove() {
        table.problem("kube_config_file", error.to_string());
    }
    table.finish();
    Some(access)
}
