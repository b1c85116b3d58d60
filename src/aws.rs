//! What all clients of AWS have in common: one way to connect, and errors for people.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// A call stands in the middle of an invocation.
const CONNECT: Duration = Duration::from_secs(2);
const WHOLE_CALL: Duration = Duration::from_secs(5);

/// Region, credentials and endpoints as AWS's own tools find them.
pub(crate) fn defaults() -> ConfigLoader {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(WHOLE_CALL).build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(client).timeout_config(timeouts)
}

/// The address at which a service, `S3`, is asked instead of at AWS's own.
#[expect(clippy::disallowed_methods, reason = "the SDK reads them too, and tells nobody")]
pub(crate) fn own_endpoint(shared: &SdkConfig, service: &str) -> Option<String> {
    let of_service = std::env::var(format!("AWS_ENDPOINT_URL_{service}")).ok();
    of_service
        .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok())
        .or_else(|| shared.endpoint_url().map(ToOwned::to_owned))
}

/// What kept AWS from answering: its own error code, or what happened on the way. The error prints
/// the whole answer, and a secret may stand in one, so nothing of an answer but its code is told.
pub(crate) fn told<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata,
{
    let answer = error.raw_response().map(|it| (it.status().as_u16(), it.body().bytes()));
    match (error.code(), answer, error) {
        (Some(code), _, _) => code.to_owned(),
        // What S3 answers to HEAD has no body, and thus no code.
        (None, Some((status, Some([]))), _) => format!("answered with status {status}"),
        (None, Some((status, _)), _) => {
            format!("answered with status {status} and what is no answer of AWS")
        }
        (None, None, SdkError::TimeoutError(_)) => "not answered in time".to_owned(),
        (None, None, SdkError::DispatchFailure(it)) => match it.as_connector_error() {
            Some(error) => format!("not answered: {}", causes(error)),
            None => "not answered".to_owned(),
        },
        (None, None, _) => "not made".to_owned(),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
