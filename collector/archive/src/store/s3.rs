//! A store in an S3 bucket: conditional puts, checksums both ways, and no retries of its own.

mod answer;
mod config;

use std::error::Error;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_http_client::{Builder, tls};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Put, StoreError};
use crate::key::{check_key, sha256_hex};
use answer::{Answer, Meaning, meaning, no_answer};
pub use config::S3Config;

/// Objects in one bucket under one prefix. Clones share their connections.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    /// Bucket and endpoint, for people.
    place: String,
}

impl S3Store {
    /// A store that `config` names; nothing is sent yet. Whoever calls it drives tokio.
    pub fn new(config: &S3Config) -> Self {
        let key =
            Credentials::new(&config.access_key_id, &config.secret_access_key, None, None, "configuration");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.timeout.min(S3Config::CONNECT_WITHIN))
            .operation_timeout(config.timeout)
            .build();
        let sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client(config))
            .credentials_provider(key)
            .region(Region::new(config.region.clone()))
            .force_path_style(config.force_path_style)
            // Whoever puts tries again, with pauses of its own.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
        let sdk = match &config.endpoint {
            Some(endpoint) => sdk.endpoint_url(endpoint),
            None => sdk,
        };
        let endpoint = config.endpoint.as_deref().unwrap_or(&config.region);
        Self {
            client: Client::from_conf(sdk.build()),
            bucket: config.bucket.clone(),
            prefix: config.key_prefix.clone(),
            place: format!("bucket {} at {endpoint}", config.bucket),
        }
    }

    pub(super) async fn put_if_absent(
        &self,
        key: &str,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Put, StoreError> {
        let name = self.name(key)?;
        let put = self.client.put_object().bucket(&self.bucket).key(&name);
        // The server holds the bytes against the checksum before it keeps them.
        let put = put.if_none_match("*").checksum_sha256(to_base64(sha256));
        match put.body(ByteStream::from(bytes.to_vec())).send().await {
            Ok(_) => Ok(Put::Created),
            Err(error) => match self.meaning(&error) {
                Meaning::Exists => self.compare(key, sha256).await,
                Meaning::Missing(cause) => Err(self.unavailable("put", &name, cause, None)),
                Meaning::Failed { cause, after } => Err(self.unavailable("put", &name, cause, after)),
            },
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        let name = self.name(key)?;
        let get = self.client.get_object().bucket(&self.bucket).key(&name);
        let object = get.checksum_mode(ChecksumMode::Enabled).send().await.map_err(|error| {
            match self.meaning(&error) {
                Meaning::Missing(_) => StoreError::Missing { key: key.to_owned() },
                Meaning::Exists => self.unavailable("get", &name, root(&error), None),
                Meaning::Failed { cause, after } => self.unavailable("get", &name, cause, after),
            }
        })?;
        // A body that breaks off or does not agree with its checksum ends here.
        let body = object.body.collect().await;
        body.map(|body| body.to_vec()).map_err(|error| self.unavailable("get", &name, root(&error), None))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let name = format!("{}{prefix}", self.prefix);
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(&name);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| match self.meaning(&error) {
                Meaning::Failed { cause, after } => self.unavailable("list", &name, cause, after),
                Meaning::Missing(_) | Meaning::Exists => self.unavailable("list", &name, root(&error), None),
            })?;
            let ours = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&*self.prefix));
            keys.extend(ours.map(str::to_owned));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Something lies under the key: is it what was to be put?
    async fn compare(&self, key: &str, wanted: &str) -> Result<Put, StoreError> {
        let found = match self.checksum(key).await? {
            Some(found) => found,
            // Whoever put it gave no SHA-256.
            None => sha256_hex(&self.get(key).await?),
        };
        if found == wanted {
            return Ok(Put::AlreadySame);
        }
        Err(StoreError::Conflict { key: key.to_owned(), found, wanted: wanted.to_owned() })
    }

    /// SHA-256 of an object, where the server keeps one of the whole of it.
    async fn checksum(&self, key: &str) -> Result<Option<String>, StoreError> {
        let name = self.name(key)?;
        let head = self.client.head_object().bucket(&self.bucket).key(&name);
        match head.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(head) => Ok(head.checksum_sha256().and_then(from_base64)),
            Err(error) => Err(match self.meaning(&error) {
                Meaning::Failed { cause, after } => self.unavailable("look at", &name, cause, after),
                Meaning::Missing(_) | Meaning::Exists => {
                    let cause = "it was there and is gone; find out who deletes from the archive".to_owned();
                    self.unavailable("look at", &name, cause, None)
                }
            }),
        }
    }

    fn name(&self, key: &str) -> Result<String, StoreError> {
        check_key(key).map_err(|cause| StoreError::Key { key: key.to_owned(), cause })?;
        Ok(format!("{}{key}", self.prefix))
    }

    fn meaning<E: ProvideErrorMetadata + Error + 'static>(&self, error: &SdkError<E>) -> Meaning {
        let Some(raw) = error.raw_response() else { return no_answer(&root(error)) };
        meaning(&Answer {
            status: raw.status().as_u16(),
            code: error.code().unwrap_or_default(),
            message: error.message().unwrap_or_default(),
            retry_after: raw.headers().get("retry-after"),
        })
    }

    fn unavailable(
        &self,
        verb: &str,
        name: &str,
        cause: String,
        after: Option<std::time::Duration>,
    ) -> StoreError {
        StoreError::Unavailable { attempt: format!("{verb} {name}, {}", self.place), cause, after }
    }
}

fn http_client(config: &S3Config) -> SharedHttpClient {
    if config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Builder::new().build_http();
    }
    let roots = match &config.ca {
        Some(ca) => tls::TrustStore::empty().with_pem_certificate(ca.clone()),
        None => tls::TrustStore::default(),
    };
    let client = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc));
    match tls::TlsContext::builder().with_trust_store(roots).build() {
        Ok(context) => client.tls_context(context).build_https(),
        Err(_) => client.build_https(),
    }
}

/// The innermost cause: the outer ones say only in which layer it happened.
fn root(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

/// A checksum as this crate writes it, as S3 writes it.
fn to_base64(sha256: &str) -> String {
    let digit = |at: usize| sha256.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    BASE64_STANDARD.encode((0..sha256.len()).step_by(2).filter_map(digit).collect::<Vec<u8>>())
}

/// The other way; nothing for a checksum of parts (`…-3`) or what is none.
fn from_base64(checksum: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(checksum).ok().filter(|bytes| bytes.len() == 32)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
