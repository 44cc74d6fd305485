//! Answers as Elasticsearch 9.5, 8.19 and OpenSearch 3.8 gave them, and what they mean.

use std::time::Duration;

use bytes::Bytes;

use crate::answer::Answer;
use crate::bulk::{BulkError, Outcome, outcomes};
use crate::error::SearchError;

fn answer(status: u16, body: &str) -> Answer {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Answer { endpoint: "http://es:9200".into(), status, retry_after: Some(Duration::from_secs(7)), body }
}

/// What an item with this answer became: its reason too, where it has one.
#[track_caller]
fn item(said: &str) -> (&'static str, String) {
    let body = format!(r#"{{"errors":true,"items":[{said}]}}"#);
    match outcomes(&answer(200, &body), 1).unwrap().remove(0) {
        Outcome::Done => ("done", String::new()),
        Outcome::Already => ("already", String::new()),
        Outcome::Retry { reason } => ("retry", reason),
        Outcome::Rejected { reason } => ("rejected", reason),
    }
}

#[test]
fn what_is_written_or_was_there_is_settled() {
    assert_eq!(item(r#"{"create":{"status":201}}"#).0, "done");
    assert_eq!(item(r#"{"index":{"status":200}}"#).0, "done");
    let conflict = r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[dsdsds]: version conflict, document already exists (current version [1])","index_uuid":"u","shard":"0","index":"i"}}}"#;
    assert_eq!(item(conflict).0, "already");
    // An index action has no conflict of its own: nothing says that this very document is there.
    assert_eq!(item(&conflict.replace("create", "index")).0, "retry");
}

#[test]
fn what_the_document_is_to_blame_for_is_rejected_with_its_reason() {
    let (what, reason) = item(
        r#"{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:15] object mapping for [kubernetes] tried to parse field [kubernetes] as object, but found a concrete value"}}}"#,
    );
    assert_eq!(what, "rejected");
    assert_eq!(
        reason,
        "400: document_parsing_exception: [1:15] object mapping for [kubernetes] tried to parse field [kubernetes] as object, but found a concrete value"
    );
    let (what, reason) = item(
        r#"{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse","caused_by":{"type":"illegal_argument_exception","reason":"field name cannot be an empty string"}}}}"#,
    );
    assert_eq!(what, "rejected");
    assert!(
        reason.ends_with("(illegal_argument_exception: field name cannot be an empty string)"),
        "{reason}"
    );
    assert_eq!(item(r#"{"create":{"status":413,"error":{"type":"x","reason":"too large"}}}"#).0, "rejected");
}

#[test]
fn what_the_cluster_is_to_blame_for_is_tried_again() {
    for said in [
        r#"{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of org.elasticsearch.action.bulk.TransportBulkAction"}}}"#,
        r#"{"create":{"status":429,"error":{"type":"cluster_block_exception","reason":"index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"}}}"#,
        r#"{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"index [i] blocked by: [FORBIDDEN/5/index read-only (api)];"}}}"#,
        r#"{"create":{"status":403,"error":{"type":"security_exception","reason":"action [indices:data/write/bulk[s]] is unauthorized for user [u]"}}}"#,
        r#"{"create":{"status":503,"error":{"type":"unavailable_shards_exception","reason":"primary shard is not active"}}}"#,
        r#"{"create":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [i]"}}}"#,
        r#"{"create":{"status":400,"error":{"type":"validation_exception","reason":"Validation Failed: 1: this action would add [2] shards, but this cluster currently has [2]/[1] maximum normal shards open;"}}}"#,
        r#"{"create":{"status":400,"error":{"type":"validation_exception","reason":"Validation Failed: 1: this action would add [2] total LOCAL_ONLY shards, but this cluster currently has [2]/[1] maximum LOCAL_ONLY shards open;"}}}"#,
        r#"{"create":{"status":400,"error":{"type":"index_closed_exception","reason":"closed","index_uuid":"u","index":"i"}}}"#,
        r#"{"create":{}}"#,
        "{}",
        "7",
    ] {
        assert_eq!(item(said).0, "retry", "{said}");
    }
}

#[test]
fn a_request_fails_as_a_whole() {
    let malformed = r#"{"error":{"root_cause":[{"type":"x_content_parse_exception","reason":"[1:5] Unrecognized token 'nope'"}],"type":"x_content_parse_exception","reason":"[1:5] Unrecognized token 'nope'"},"status":400}"#;
    let failed = outcomes(&answer(400, malformed), 1).unwrap_err();
    assert!(
        matches!(&failed, BulkError::Malformed { reason } if reason.ends_with("[1:5] Unrecognized token 'nope'"))
    );
    assert!(matches!(outcomes(&answer(413, ""), 1), Err(BulkError::TooLarge { .. })));
    let pressure = r#"{"error":{"root_cause":[],"type":"es_rejected_execution_exception","reason":"rejected execution of coordinating operation"},"status":429}"#;
    let page = "<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>";
    for (status, body) in [
        (429, pressure),
        (503, r#"{"error":{"type":"master_not_discovered_exception","reason":null},"status":503}"#),
        (502, "<html>bad gateway</html>"),
        (
            401,
            r#"{"error":{"type":"security_exception","reason":"unable to authenticate user [u]"},"status":401}"#,
        ),
        (404, "not here"),
        (302, ""),
        (400, page),
        (200, "<html>a portal</html>"),
        (200, "{}"),
        (200, r#"{"errors":false,"items":[]}"#),
    ] {
        let failed = outcomes(&answer(status, body), 1).unwrap_err();
        let BulkError::Retry { after, reason } = failed else { panic!("{status} {body}: {failed:?}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert!(reason.starts_with("http://es:9200 answers "), "{reason}");
    }
}

#[test]
fn who_is_refused_learns_what_to_mend() {
    let said =
        r#"{"error":{"type":"security_exception","reason":"unable to authenticate user [u]"},"status":401}"#;
    let Err(SearchError::Refused { status: 401, reason }) = answer(401, said).json() else { panic!() };
    assert_eq!(
        reason,
        "http://es:9200 answers 401: security_exception: unable to authenticate user [u]; check the user and password, or the key, in auth"
    );
    assert!(answer(404, "{}").success().unwrap_err().is_missing());
    for status in [302, 408, 425, 429, 500, 503] {
        assert!(matches!(answer(status, "").success(), Err(SearchError::Unavailable { .. })), "{status}");
    }
    assert_eq!(answer(200, "").json(), Ok(serde_json::Value::Null));
    assert!(matches!(answer(200, "<html>").json(), Err(SearchError::Unavailable { .. })));
}

#[test]
fn a_long_answer_is_shown_in_part() {
    let body = "ä".repeat(5000);
    assert!(answer(500, &body).reason().len() < 700);
}
