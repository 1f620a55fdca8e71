//! The S3 SDK, for what `object_store` has no words for. No object's bytes pass through here.

use super::{ColdFault, ColdOptions};
use crate::StoreError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

/// The client and its bucket.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) client: Client,
    pub(super) bucket: String,
}

impl Control {
    pub(super) fn new(options: &ColdOptions, authority: Option<&[u8]>) -> Result<Self, StoreError> {
        let token = options.session_token.as_ref().map(|token| token.to_string());
        let secret = options.secret_key.to_string();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .operation_attempt_timeout(options.request_timeout)
            .build();
        let attempts = u32::try_from(options.retries).unwrap_or(u32::MAX).saturating_add(1);
        let retry = RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(options.retry_pause);
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(options.region.clone()))
            .credentials_provider(Credentials::new(&options.access_key, secret, token, None, "khoanh"))
            .force_path_style(options.path_style)
            .http_client(http(options, authority)?)
            // Only where S3 asks for it: servers other than AWS do not know the newer checksums.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(timeouts)
            .retry_config(retry);
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self { client: Client::from_conf(config.build()), bucket: options.bucket.clone() })
    }
}

fn http(options: &ColdOptions, authority: Option<&[u8]>) -> Result<SharedHttpClient, StoreError> {
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let Some(pem) = authority else { return Ok(builder.build_https()) };
    let trust = TrustStore::default().with_native_roots(true).with_pem_certificate(pem);
    let wrong = |_| StoreError::cold(ColdFault::Options, "open", &options.bucket, "the authorities are no PEM file");
    Ok(builder.tls_context(TlsContext::builder().with_trust_store(trust).build().map_err(wrong)?).build_https())
}
