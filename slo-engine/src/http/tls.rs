//! TLS on the engine's own port: the certificate is read again when its files change.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;

/// The certificate that is shown, and where it comes from.
pub(crate) struct Tls {
    files: TlsFiles,
    shown: RwLock<Arc<ServerConfig>>,
    /// The bytes of both files that were looked at last, good or bad.
    seen: Mutex<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the certificate and its key.
    pub(crate) fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let seen = read(&files)?;
        let shown = server_config(&files, &seen)?;
        Ok(Self { files, shown: RwLock::new(Arc::new(shown)), seen: Mutex::new(seen) })
    }

    /// Looks whether the files have changed. A pair that is no good is told once, and the one before is shown on.
    pub(crate) fn reload(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match read(&self.files) {
            Ok(now) if now == *seen => return,
            Ok(now) => now,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the certificate before is shown on");
                return;
            }
        };
        match server_config(&self.files, &now) {
            Ok(config) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(crt_file = %self.files.crt_file.display(), "shows the new certificate");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the certificate before is shown on");
            }
        }
        *seen = now;
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn read(files: &TlsFiles) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path, key: &str| {
        std::fs::read(path)
            .with_context(|| format!("cannot read {}: name the file in tls.{key}", path.display()))
    };
    Ok((read(&files.crt_file, "crt_file")?, read(&files.key_file, "key_file")?))
}

fn server_config(files: &TlsFiles, (crt, key): &(Vec<u8>, Vec<u8>)) -> anyhow::Result<ServerConfig> {
    let certificates = CertificateDer::pem_slice_iter(crt)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .with_context(|| {
            format!("there is no certificate in PEM in {} (tls.crt_file)", files.crt_file.display())
        })?;
    let key = PrivateKeyDer::from_pem_slice(key).ok().with_context(|| {
        format!("there is no private key in PEM in {} (tls.key_file)", files.key_file.display())
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .with_context(|| {
            format!("{} and {} are no pair", files.crt_file.display(), files.key_file.display())
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
