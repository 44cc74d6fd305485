//! The import against a contract double: a server that keeps Kibana's rules for `_import` and is called a double, since no
//! Kibana can be had here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use slo::objective::SloSpec;

use super::{Kibana, batches, judge};
use crate::config::{Auth, Config};
use crate::{SavedObject, ServiceDashboard, render};

/// What the double has of a space, and who may ask.
#[derive(Default)]
struct Double {
    objects: Mutex<BTreeSet<(String, String, String)>>,
    requests: Mutex<usize>,
    authorization: Option<String>,
}

type Shared = State<Arc<Double>>;
type Reply = (StatusCode, Json<Value>);

fn bad(message: &str) -> Reply {
    (StatusCode::BAD_REQUEST, Json(json!({ "statusCode": 400, "error": "Bad Request", "message": message })))
}

/// The rules: `kbn-xsrf`, one file whose name ends in `.ndjson`, `overwrite` for what is there, references to data views
/// and searches that are there or come along.
async fn import(
    double: &Double,
    space: &str,
    overwrite: bool,
    headers: &HeaderMap,
    mut form: Multipart,
) -> Reply {
    *double.requests.lock().unwrap() += 1;
    if !headers.contains_key("kbn-xsrf") {
        return bad("Request must contain a kbn-xsrf header.");
    }
    if let Some(want) = &double.authorization
        && headers.get("authorization").is_none_or(|is| is != want)
    {
        return (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "statusCode": 401, "message": "unable to authenticate" })),
        );
    }
    if space == "gone" {
        return (StatusCode::NOT_FOUND, Json(json!({ "statusCode": 404, "message": "Not Found" })));
    }
    let Some(field) = form.next_field().await.unwrap() else { return bad("file: expected value") };
    if !field.file_name().is_some_and(|name| name.ends_with(".ndjson")) {
        return bad("Invalid file extension");
    }
    let text = field.text().await.unwrap();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (StatusCode::OK, Json(take(double, space, overwrite, &objects)))
}

fn take(double: &Double, space: &str, overwrite: bool, objects: &[Value]) -> Value {
    let mut known = double.objects.lock().unwrap();
    let key = |object: &Value| {
        let [kind, id] = ["type", "id"].map(|key| object[key].as_str().unwrap().to_owned());
        (space.to_owned(), kind, id)
    };
    let coming: BTreeSet<_> = objects.iter().map(key).collect();
    let mut errors = Vec::new();
    for object in objects {
        let needs = object["references"].as_array().unwrap().iter();
        let missing = needs
            .filter(|it| it["type"] != "dashboard")
            .map(key)
            .find(|it| !known.contains(it) && !coming.contains(it));
        let error = match missing {
            Some((_, kind, id)) => {
                json!({ "type": "missing_references", "references": [{ "type": kind, "id": id }] })
            }
            None if !overwrite && known.contains(&key(object)) => json!({ "type": "conflict" }),
            None => continue,
        };
        errors.push(json!({
            "id": object["id"], "type": object["type"], "title": object["attributes"]["title"], "error": error,
        }));
    }
    let success_count = objects.len() - errors.len();
    if errors.is_empty() {
        known.extend(coming);
        return json!({ "success": true, "successCount": success_count, "warnings": [] });
    }
    json!({ "success": false, "successCount": success_count, "errors": errors, "warnings": [] })
}

async fn serve(double: Arc<Double>) -> SocketAddr {
    type Asked = Query<std::collections::BTreeMap<String, String>>;
    let overwrite = |asked: &Asked| asked.get("overwrite").is_some_and(|is| is == "true");
    let plain = move |State(double): Shared, asked: Asked, headers: HeaderMap, form: Multipart| async move {
        import(&double, "default", overwrite(&asked), &headers, form).await
    };
    let spaced = move |State(double): Shared,
                       Path(space): Path<String>,
                       asked: Asked,
                       headers: HeaderMap,
                       form: Multipart| async move {
        import(&double, &space, overwrite(&asked), &headers, form).await
    };
    let router = Router::new()
        .route("/api/saved_objects/_import", post(plain))
        .route("/s/{space}/api/saved_objects/_import", post(spaced))
        .layer(axum::extract::DefaultBodyLimit::max(26_214_400))
        .with_state(double);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

async fn double(authorization: Option<&str>) -> (Arc<Double>, Config) {
    let double = Arc::new(Double { authorization: authorization.map(str::to_owned), ..Double::default() });
    let addr = serve(double.clone()).await;
    (double, Config::new(&format!("http://{addr}")))
}

fn objects(services: usize) -> Vec<SavedObject> {
    let service = |n: usize| ServiceDashboard {
        service: format!("shop/web-{n}"),
        workload: None,
        slos: SloSpec::defaults().to_vec(),
        runbook_url: None,
    };
    render(&(0..services).map(service).collect::<Vec<_>>(), "production", "default")
}

async fn told(config: &Config, objects: &[SavedObject]) -> String {
    Kibana::new(config).unwrap().import(objects).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_double_keeps_the_rules_of_kibana() {
    let (_double, config) = double(None).await;
    Kibana::new(&config).unwrap();
    let line = objects(0).remove(0).line();
    let post = async |name: &'static str, xsrf: bool, asked: &str| {
        let part = reqwest::multipart::Part::text(line.clone()).file_name(name);
        let form = reqwest::multipart::Form::new().part("file", part);
        let url = format!("{}/api/saved_objects/_import{asked}", config.url);
        let request = reqwest::Client::new().post(url).multipart(form);
        let request = if xsrf { request.header("kbn-xsrf", "x") } else { request };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(post("a.ndjson", false, "").await.0, 400);
    assert_eq!(post("a.json", true, "").await.0, 400);
    assert_eq!(post("a.ndjson", true, "").await.1["success"], true);
    let (status, again) = post("a.ndjson", true, "").await;
    assert_eq!((status, &again["errors"][0]["error"]["type"]), (200, &json!("conflict")));
    assert_eq!(post("a.ndjson", true, "?overwrite=true").await.1["success"], true);
}

#[tokio::test]
async fn an_import_can_be_repeated() {
    let (double, config) = double(None).await;
    let kibana = Kibana::new(&config).unwrap();
    let objects = objects(2);
    for _ in 0..2 {
        assert_eq!(kibana.import(&objects).await.unwrap(), 6);
        assert_eq!(double.objects.lock().unwrap().len(), 6);
    }
}

#[tokio::test]
async fn many_dashboards_go_in_several_requests() {
    let (double, config) = double(None).await;
    let kibana = Kibana::new(&config).unwrap();
    assert_eq!(kibana.import(&objects(120)).await.unwrap(), 124);
    assert_eq!(double.objects.lock().unwrap().len(), 124);
    assert_eq!(*double.requests.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_space_and_who_asks_are_told() {
    let (double, config) = double(Some("ApiKey a2V5")).await;
    let config = Config { space: "sre".into(), ..config };
    assert!(told(&config, &objects(0)).await.contains("answers 401 Unauthorized: "), "without a key");
    let basic = Auth::Basic { user: "me".into(), password: "x".into() };
    let error = told(&Config { auth: Some(basic), ..config.clone() }, &objects(0)).await;
    assert!(error.ends_with("check auth: Kibana does not know who asks"), "{error}");
    let config = Config { auth: Some(Auth::ApiKey("a2V5".into())), ..config };
    assert_eq!(Kibana::new(&config).unwrap().import(&objects(0)).await.unwrap(), 4);
    assert!(double.objects.lock().unwrap().iter().all(|(space, ..)| space == "sre"));
    let error = told(&Config { space: "gone".into(), ..config }, &objects(0)).await;
    assert!(error.contains("404") && error.contains("no such space"), "{error}");
}

#[tokio::test]
async fn success_is_what_the_body_says() {
    let (_double, config) = double(None).await;
    let without_views: Vec<SavedObject> = objects(1).split_off(3);
    let error = told(&config, &without_views).await;
    assert!(error.contains("took 0 of 2 objects: dashboard \"Headroom: services (production)\""), "{error}");
    assert!(error.contains("what it needs is not in the space: {"), "{error}");
}

#[tokio::test]
async fn a_kibana_that_is_not_there_is_told_with_its_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = told(&config, &objects(0)).await;
    assert!(
        error.starts_with("cannot reach Kibana at http://127.0.0.1:") && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn an_answer_is_judged() {
    assert_eq!(judge(r#"{"success":true,"successCount":2,"warnings":[]}"#, 2), Ok(()));
    let told = |body: &str| judge(body, 2).unwrap_err();
    assert_eq!(told(r#"{"success":true,"successCount":1}"#), (1, "it does not say which not".to_owned()));
    assert!(told("<html>Log in</html>").1.ends_with("is there something else at this URL?"));
    let one = r#"{"id":"i","type":"dashboard","title":"t","error":{"type":"unsupported_type"}}"#;
    let (taken, why) = told(&format!(
        r#"{{"success":false,"successCount":1,"errors":[{one},{one},{one},{one},{one},{one},{one}]}}"#
    ));
    assert_eq!(taken, 1);
    assert!(
        why.starts_with("dashboard \"t\" (i): this Kibana does not know its type")
            && why.ends_with("; and 2 more"),
        "{why}"
    );
}

#[test]
fn a_batch_holds_at_least_one_line_and_all_keep_their_order() {
    let lines = ["aaaa", "b", "cc", "ddddddd", "e"].map(str::to_owned);
    let sizes = |most| batches(&lines, most).iter().map(|group| group.len()).collect::<Vec<_>>();
    assert_eq!(sizes(5), [2, 1, 1, 1]);
    assert_eq!(sizes(1), [1; 5]);
    assert_eq!(sizes(100), [5]);
    assert!(batches(&[], 5).is_empty());
    assert_eq!(batches(&lines, 5).concat(), lines);
}
