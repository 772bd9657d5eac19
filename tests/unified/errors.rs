//! Whether an error is the one that a test expects ("expectedError").

use bson::{Bson, Document};
use portolan::engine::auth::AuthError;
use portolan::engine::op::CommandFailure;
use portolan::{Error, ErrorKind};

use crate::matching::{Names, matches, matches_root};
use crate::operations::bulk_result;
use crate::schema::ExpectedError;

pub(crate) fn check(
    expected: &ExpectedError,
    error: &Error,
    names: &dyn Names,
) -> Result<(), String> {
    let fail = |what: String| Err(format!("{what}: {error:?}"));
    if expected.is_error == Some(false) {
        return Err("isError: false is no expectation".to_owned());
    }
    if expected.is_client_error.is_some_and(|wanted| wanted != is_client_error(error)) {
        return fail(format!("isClientError: {}", !is_client_error(error)));
    }
    if expected.is_timeout_error.is_some_and(|wanted| wanted != error.is_timeout()) {
        return fail(format!("isTimeoutError: {}", error.is_timeout()));
    }
    if let Some(part) = &expected.error_contains {
        let text = format!("{error} {}", response(error).unwrap_or_default());
        if !text.to_lowercase().contains(&part.to_lowercase()) {
            return fail(format!("errorContains {part}"));
        }
    }
    if let Some(code) = expected.error_code
        && error.code().map(i64::from) != Some(code)
    {
        return fail(format!("errorCode {code}"));
    }
    if let Some(name) = &expected.error_code_name
        && !code_name(error).is_some_and(|found| found.eq_ignore_ascii_case(name))
    {
        return fail(format!("errorCodeName {name}"));
    }
    if let Some(label) = expected.error_labels_contain.iter().find(|label| !error.has_label(label))
    {
        return fail(format!("errorLabelsContain {label}"));
    }
    if let Some(label) = expected.error_labels_omit.iter().find(|label| error.has_label(label)) {
        return fail(format!("errorLabelsOmit {label}"));
    }
    if let Some(wanted) = &expected.error_response {
        let Some(found) = response(error) else { return fail("errorResponse".to_owned()) };
        matches_root(wanted, &found, names).map_err(|what| format!("errorResponse: {what}"))?;
    }
    if expected.write_errors.is_some() || expected.write_concern_errors.is_some() {
        return Err("writeErrors and writeConcernErrors belong to clientBulkWrite".to_owned());
    }
    match &expected.expect_result {
        Some(result) => {
            let found = partial_result(error);
            matches(result, found.as_ref(), true, names)
                .map_err(|what| format!("expectResult: {what}"))
        }
        None => Ok(()),
    }
}

/// What was written in spite of the error.
fn partial_result(error: &Error) -> Option<Bson> {
    error.partial_result().map(|result| Bson::Document(bulk_result(&result)))
}

/// "not derived from a server response".
fn is_client_error(error: &Error) -> bool {
    let refused = refusal(error).is_some();
    !refused && !matches!(error.kind(), ErrorKind::Command(_) | ErrorKind::Write(_))
}

fn response(error: &Error) -> Option<Document> {
    let raw = match error.kind() {
        ErrorKind::Command(failure) => &failure.raw,
        ErrorKind::Write(failure) => &failure.raw,
        _ => &refusal(error)?.raw,
    };
    Document::try_from(raw.as_ref()).ok()
}

/// What a server said that did not let the client in.
fn refusal(error: &Error) -> Option<&CommandFailure> {
    match error.kind() {
        ErrorKind::Authentication { failure, .. } => match &failure.error {
            AuthError::Refused(refusal) => Some(refusal),
            _ => None,
        },
        _ => None,
    }
}

fn code_name(error: &Error) -> Option<String> {
    match error.kind() {
        ErrorKind::Command(failure) => failure.code_name.clone(),
        ErrorKind::Write(failure) => {
            let concern = failure.write_concern_error.as_ref();
            let write = failure.write_errors.first().and_then(|error| error.code_name.clone());
            write.or_else(|| concern.and_then(|error| error.code_name.clone()))
        }
        _ => refusal(error)?.code_name.clone(),
    }
}
