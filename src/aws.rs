//! The connection settings of all AWS clients, and their errors as text.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// Time limit of connecting: calls are made in the middle of an invocation.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of a call with all its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Loads region, credentials and endpoints as AWS's own tools do.
pub(crate) fn defaults() -> ConfigLoader {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(client).timeout_config(timeouts)
}

/// Returns the custom endpoint of a service, `S3`; `None` for AWS's own.
#[expect(
    clippy::disallowed_methods,
    reason = "the SDK reads them as well, but does not expose them"
)]
pub(crate) fn custom_endpoint(shared: &SdkConfig, service: &str) -> Option<String> {
    let of_service = std::env::var(format!("AWS_ENDPOINT_URL_{service}")).ok();
    of_service
        .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok())
        .or_else(|| shared.endpoint_url().map(ToOwned::to_owned))
}

/// Returns why a call failed: the error code of AWS, or the problem on the way. The error itself
/// prints the whole answer, which may hold a secret, so only the code of an answer is used.
pub(crate) fn error_text<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata,
{
    let answer = error.raw_response().map(|it| (it.status().as_u16(), it.body().bytes()));
    match (error.code(), answer, error) {
        (Some(code), _, _) => code.to_owned(),
        // An answer of S3 to HEAD has no body, so it has no code.
        (None, Some((status, Some([]))), _) => format!("answered with status {status}"),
        (None, Some((status, _)), _) => {
            format!("answered with status {status}, but not by AWS")
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
