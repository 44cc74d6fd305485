//! The key `tls`: the certificate that the engine's own port shows.

use std::path::PathBuf;

use settings::Table;

/// Files of the certificate that the engine's port shows; they are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the certificate and what leads to its authority.
    pub crt_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
}

impl TlsFiles {
    pub(super) fn prove(table: &mut Table<'_>) -> Option<Self> {
        let mut tls = table.table("tls")?;
        let crt_file = tls.required_string("crt_file").into();
        let key_file = tls.required_string("key_file").into();
        tls.finish();
        Some(Self { crt_file, key_file })
    }
}
