//! Who may do what: scopes, rotation, and what holds without tokens.

use super::*;

/// Each token is called by its variable's first letter, in lower case.
const SCOPED: &str = "access:
  tokens:
    - {name: old collectors, scopes: [counts], token: '${COKEN}'}
    - {name: new collectors, scopes: [counts], token: '${DOKEN}'}
    - {name: people, scopes: [read, ack], token: '${POKEN}'}
    - {name: root, scopes: [admin], token: '${ROKEN}'}";

const ROUTES: [(&str, &str, &str); 5] = [
    ("GET", "/v1/slos", "read"),
    ("GET", "/", "read"),
    ("GET", "/v1/counts/positions", "counts"),
    ("POST", "/v1/counts", "counts"),
    ("POST", "/v1/incidents/x/acknowledge", "ack"),
];

#[tokio::test]
async fn each_token_opens_what_it_is_for() {
    let served = serve_with(SCOPED, Limits::default()).await;
    let opens = [("c", "counts"), ("d", "counts"), ("p", "read ack"), ("r", "read ack counts")];
    for (method, path, scope) in ROUTES {
        for (token, scopes) in opens {
            let headers = format!("authorization: Bearer {token}\r\n");
            if scopes.contains(scope) {
                let (status, ..) = served.ask(method, path, &headers, "").await;
                assert!(![401, 403].contains(&status), "{token} {path}: {status}");
            } else {
                served.check(method, path, &headers, "", (403, scope)).await;
            }
        }
        for headers in ["", "authorization: Bearer x\r\n"] {
            let want = format!("token of the scope {scope}");
            served.check(method, path, headers, "", (401, &want)).await;
        }
    }
    let metrics = prometheus::TextEncoder::new().encode_to_string(&served.registry.gather()).unwrap();
    assert!(metrics.contains("headroom_http_unauthorized_total{scope=\"ack\"} 4"), "{metrics}");
}

#[tokio::test]
async fn a_browser_reads_with_the_token_as_a_password_and_writes_nothing() {
    let served = serve_with(SCOPED, Limits::default()).await;
    let (_, head, _) = served.ask("GET", "/", "", "").await;
    assert_eq!(header(&head, "www-authenticate"), "basic realm=\"headroom\"");
    // ann:p
    let headers = "authorization: Basic YW5uOnA=\r\n";
    assert_eq!(served.ask("GET", "/", headers, "").await.0, 200);
    served.check("POST", "/v1/incidents/x/resolve", headers, "", (401, "Bearer")).await;
}

#[tokio::test]
async fn without_tokens_only_this_machine_may_write() {
    let served = serve_with("", Limits::default()).await;
    let (status, _, said) = served.ask("GET", "/v1/counts/positions", "", "").await;
    assert_eq!(status, 200, "{said}");
    served.check("POST", "/v1/counts", "origin: http://evil.example\r\n", "", (403, "access.tokens")).await;
    let peer = |text: &str| Some(text.parse().unwrap());
    let method = axum::http::Method::POST;
    let headers = axum::http::HeaderMap::new();
    let check = |scope, peer| served.api.access.check(scope, (&method, &headers), peer);
    for scope in [Scope::Counts, Scope::Ack] {
        assert!(check(scope, peer("[::ffff:127.0.0.1]:9")).is_ok() && check(scope, peer("[::1]:9")).is_ok());
        for stranger in [None, peer("10.0.0.7:9"), peer("[2001:db8::1]:9")] {
            let denied = check(scope, stranger).unwrap_err();
            assert_eq!(denied.status, 403);
            assert!(denied.error.contains(&format!("scope {}", scope.as_str())), "{}", denied.error);
        }
    }
    assert!(check(Scope::Read, peer("10.0.0.7:9")).is_ok());
}

#[tokio::test]
async fn the_token_of_before_acknowledges_where_no_other_does() {
    let acknowledge = "/v1/incidents/x/acknowledge";
    let both = "counts: {token: '${TOKEN}'}\naccess: {tokens: [{name: a, scopes: ack, token: '${AOKEN}'}]}";
    let (old, new) = (serve().await, serve_with(both, Limits::default()).await);
    assert_eq!(old.ask("POST", acknowledge, JSON, "{\"by\": \"ann\"}").await.0, 404);
    new.check(
        "POST",
        acknowledge,
        JSON,
        "{\"by\": \"ann\"}",
        (403, "\"counts.token\" has not the scope ack"),
    )
    .await;
    assert_eq!(new.ask("GET", "/v1/counts/positions", JSON, "").await.0, 200);
}

#[tokio::test]
async fn a_token_in_a_file_changes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let config =
        format!("access: {{tokens: [{{name: a, scopes: [counts], token_file: {}}}]}}", file.display());
    let served = serve_with(&config, Limits::default()).await;
    let status = async |token: &str| {
        let headers = format!("authorization: Bearer {token}\r\n");
        served.ask("GET", "/v1/counts/positions", &headers, "").await.0
    };
    assert_eq!((status("one").await, status("two").await), (200, 401));
    std::fs::write(&file, "two\n").unwrap();
    served.api.access.reload();
    assert_eq!((status("one").await, status("two").await), (401, 200));
    std::fs::write(&file, "").unwrap();
    served.api.access.reload();
    assert_eq!(status("two").await, 200);
}

#[tokio::test]
async fn a_collector_that_is_refused_is_shown_until_it_is_mended() {
    let served = serve().await;
    for _ in 0..3 {
        served.check("POST", "/v1/counts", "authorization: Bearer x\r\n", "", (401, "counts")).await;
    }
    let (.., page) = served.ask("GET", "/", "", "").await;
    assert!(page.contains("counts of 127.0.0.1 were refused 3 times"), "{page}");
    assert!(served.api.refused.alarm(now()).is_some());
    assert_eq!(served.ask("GET", "/v1/counts/positions", JSON, "").await.0, 200);
    assert_eq!((served.api.refused.alarm(now()), served.api.refused_writers(now())), (None, Vec::new()));
}
