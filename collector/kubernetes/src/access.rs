//! How the API server is reached: from inside a pod, or by a kubeconfig.

use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use thiserror::Error;

pub use kube::Client;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer may be silent; a watch that is alive says something more often.
const READ_WITHIN: Duration = Duration::from_secs(310);

/// Where the credentials come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The pod's service account.
    #[default]
    InCluster,
    /// A kubeconfig's current context.
    KubeConfig(PathBuf),
}

/// Why there is no client. The API server itself was not asked yet: one that is down is no error here.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Not in a pod, or the service account's token is not mounted.
    #[error(
        "cannot reach Kubernetes from inside a pod: {0}; outside of one, name a kubeconfig with kube_config_file"
    )]
    InCluster(kube::config::InClusterError),
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {}: {cause}", file.display())]
    KubeConfig {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, without the text around it: that may be a credential.
        cause: String,
    },
    /// The certificates or the address cannot be used.
    #[error("cannot make a client for Kubernetes: {0}")]
    Client(kube::Error),
}

impl Access {
    /// Whether what is named is there and can be read; nobody is asked anything.
    ///
    /// # Errors
    /// The kubeconfig cannot be read, or is none.
    pub fn prove(&self) -> Result<(), AccessError> {
        let Self::KubeConfig(file) = self else { return Ok(()) };
        let read = Kubeconfig::read_from(file);
        read.map(drop)
            .map_err(|error| AccessError::KubeConfig { file: file.clone(), cause: first_line(&error) })
    }

    /// A client; it connects when it is first used.
    ///
    /// # Errors
    /// There are no credentials, or they cannot be used.
    pub async fn client(&self) -> Result<Client, AccessError> {
        // There may be one already, and any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = match self {
            Self::InCluster => Config::incluster().map_err(AccessError::InCluster)?,
            Self::KubeConfig(file) => kube_config(file)
                .await
                .map_err(|error| AccessError::KubeConfig { file: file.clone(), cause: first_line(&error) })?,
        };
        config.connect_timeout = Some(CONNECT_WITHIN);
        config.read_timeout = Some(READ_WITHIN);
        Client::try_from(config).map_err(AccessError::Client)
    }
}

async fn kube_config(file: &PathBuf) -> Result<Config, kube::config::KubeconfigError> {
    let config = Kubeconfig::read_from(file)?;
    Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await
}

fn first_line(error: &kube::config::KubeconfigError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_read_shows_no_credential() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kubeconfig");
        std::fs::write(&file, "apiVersion: v1\nusers: [{name: e, user: {token: hunter2}}\nkind: Config\n")
            .unwrap();
        let error = Access::KubeConfig(file).client().await.err().unwrap();
        let told = format!("{error:?} {error}");
        assert!(told.contains("kubeconfig: failed to parse") && !told.contains("hunter2"), "{told}");
    }
}
