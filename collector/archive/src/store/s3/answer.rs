//! What an answer of S3 means: it is there, it is not there, or the same request is to be sent again. Pure.

use std::time::Duration;

/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An answer that is no success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// `Code` of the body; empty where there is none, as after HEAD.
    pub(super) code: &'a str,
    /// `Message` of the body.
    pub(super) message: &'a str,
    /// The header `Retry-After`.
    pub(super) retry_after: Option<&'a str>,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An object lies under the key.
    Exists,
    /// No object lies under the key; what the server said.
    Missing(String),
    /// Nothing is known of the object. Whatever it is, it may be mended, so nothing is given up.
    Failed {
        /// What the server said, and what to do.
        cause: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
}

pub(super) fn meaning(answer: &Answer<'_>) -> Meaning {
    match (answer.status, answer.code) {
        (412, _) => Meaning::Exists,
        (404, "NoSuchKey" | "NotFound" | "") => Meaning::Missing(said(answer)),
        _ => Meaning::Failed {
            cause: [said(answer).as_str(), next_step(answer)].join(""),
            after: answer.retry_after.and_then(pause),
        },
    }
}

/// Nothing came back; `why` is what the connection says.
pub(super) fn no_answer(why: &str) -> Meaning {
    let next_step = match why.contains("UnknownIssuer") {
        true => "; name the CA that signed the server's certificate in `tls.ca_file`",
        false => "",
    };
    Meaning::Failed { cause: format!("no answer: {why}{next_step}"), after: None }
}

fn said(answer: &Answer<'_>) -> String {
    let Answer { status, code, message, .. } = answer;
    match (code.is_empty(), message.is_empty()) {
        (true, _) => format!("answered {status}"),
        (false, true) => format!("answered {status} {code}"),
        (false, false) => format!("answered {status} {code} ({})", message.trim_end_matches('.')),
    }
}

fn next_step(answer: &Answer<'_>) -> &'static str {
    match (answer.code, answer.status) {
        ("NoSuchBucket", _) => "; make the bucket, or mend `bucket`",
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken", _) => {
            "; mend `auth.access_key_id` and `auth.secret_access_key`"
        }
        ("RequestTimeTooSkewed", _) => "; set this machine's clock right",
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _) => {
            "; mend `region` or `endpoint`"
        }
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _) => {
            ": the bytes were damaged on the way, nothing was kept"
        }
        ("NotImplemented", _) | (_, 501) => {
            "; the server must know conditional writes (If-None-Match) and SHA-256 checksums: use another one"
        }
        ("AccessDenied" | "", 401 | 403) => {
            "; allow these credentials s3:PutObject, s3:GetObject and s3:ListBucket on the bucket"
        }
        _ => "",
    }
}

fn pause(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: &str, want: &str) {
        let answer = Answer { status, code, message: "", retry_after: None };
        let Meaning::Failed { cause, after: None } = meaning(&answer) else { panic!("{answer:?}") };
        assert_eq!(cause, want);
    }

    #[test]
    fn only_a_failed_precondition_says_that_an_object_is_there() {
        let answer = |status, code| Answer { status, code, message: "", retry_after: None };
        assert_eq!(meaning(&answer(412, "PreconditionFailed")), Meaning::Exists);
        assert_eq!(meaning(&answer(412, "")), Meaning::Exists);
        assert_eq!(meaning(&answer(404, "")), Meaning::Missing("answered 404".to_owned()));
        assert_eq!(meaning(&answer(404, "NoSuchKey")), Meaning::Missing("answered 404 NoSuchKey".to_owned()));
    }

    #[test]
    fn whatever_else_is_tried_again_and_says_what_to_mend() {
        check(404, "NoSuchBucket", "answered 404 NoSuchBucket; make the bucket, or mend `bucket`");
        check(409, "ConditionalRequestConflict", "answered 409 ConditionalRequestConflict");
        check(500, "InternalError", "answered 500 InternalError");
        check(
            403,
            "SignatureDoesNotMatch",
            "answered 403 SignatureDoesNotMatch; mend `auth.access_key_id` and `auth.secret_access_key`",
        );
        check(
            403,
            "RequestTimeTooSkewed",
            "answered 403 RequestTimeTooSkewed; set this machine's clock right",
        );
        check(
            403,
            "",
            "answered 403; allow these credentials s3:PutObject, s3:GetObject and s3:ListBucket on the bucket",
        );
        check(301, "PermanentRedirect", "answered 301 PermanentRedirect; mend `region` or `endpoint`");
        check(
            400,
            "BadDigest",
            "answered 400 BadDigest: the bytes were damaged on the way, nothing was kept",
        );
    }

    #[test]
    fn a_certificate_that_nobody_known_signed_has_a_next_step() {
        let Meaning::Failed { cause, .. } = no_answer("invalid peer certificate: UnknownIssuer") else {
            panic!()
        };
        assert!(
            cause.ends_with("; name the CA that signed the server's certificate in `tls.ca_file`"),
            "{cause}"
        );
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_but_not_for_ever() {
        let after = |retry_after| {
            let message = "Reduce your request rate.";
            match meaning(&Answer { status: 503, code: "SlowDown", message, retry_after }) {
                Meaning::Failed { cause, after } => {
                    assert_eq!(cause, "answered 503 SlowDown (Reduce your request rate)");
                    after
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after(None), None);
        assert_eq!(after(Some(" 7 ")), Some(Duration::from_secs(7)));
        assert_eq!(after(Some("86400")), Some(LONGEST_PAUSE));
        assert_eq!(after(Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }
}
