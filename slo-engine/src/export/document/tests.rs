//! Count documents come back as they were written.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn row(service: ServiceRef, start: u64, us: &[u64]) -> StoredRow {
    let mut sketch = Sketch::default();
    us.iter().for_each(|&us| sketch.record(us));
    let key = RowKey {
        stream: "pod/app".to_owned(),
        service,
        origin: Origin::Ingress,
        sli: Sli::Latency,
        version: 1,
        minute: MinuteId(29_923_800),
    };
    let total = us.len() as u64;
    let counts = Counts { total, bad: 0, excluded: 2 };
    StoredRow {
        row: CountRow {
            key,
            range: ByteRange { start, end: start + 100 },
            counts,
            ladder: vec![total, 0],
            sketch,
        },
        edges_us: vec![500_000],
        partial: false,
    }
}

fn service() -> impl Strategy<Value = ServiceRef> {
    prop_oneof![
        (".*", ".*").prop_map(|(namespace, name)| ServiceRef::Named { namespace, name }),
        ".*".prop_map(ServiceRef::Upstream),
        Just(ServiceRef::Unattributed),
    ]
}

fn back(document: &Document) -> CountDocument {
    CountDocument::read(serde_json::from_str(&document.source).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn a_row_comes_back_as_it_was_stored(
        service in service(),
        start in 0_u64..1 << 40,
        us in proptest::collection::vec(any::<u32>().prop_map(u64::from), 0..20),
        torn in any::<bool>(),
    ) {
        let stored = StoredRow { partial: torn, ..row(service, start, &us) };
        let document = CountDocument::Row(stored.clone().into()).write(&Environment::default(), Timestamp::UNIX_EPOCH);
        let CountDocument::Row(read) = back(&document) else { panic!("{}", document.source) };
        prop_assert_eq!(StoredRow::from(read), stored);
    }
}

#[test]
fn streams_tallies_and_collectors_come_back_as_they_were_stored() {
    let stream = StoredStream {
        stream: "s".to_owned(),
        collector: "node".to_owned(),
        path: "/var/log/pods/x".to_owned(),
        namespace: Some("shop".to_owned()),
        pod: None,
        container: None,
        oldest_ms: None,
        newest_ms: Some(1),
        ended: true,
        broken: None,
    };
    let tally = StoredTally {
        range: ByteRange { start: 3, end: 70 },
        tally: Tally { lines: 7, requests: 5, ..Tally::default() },
    };
    let collector = StoredCollector {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        watermark_ms: Some(60_000),
        archived_to_ms: None,
        node: None,
        gone: None,
    };
    for document in [
        CountDocument::Stream(stream),
        CountDocument::Tally(TallyDocument::new("s", tally)),
        CountDocument::Collector(collector),
    ] {
        assert_eq!(back(&document.write(&Environment::default(), Timestamp::UNIX_EPOCH)), document);
    }
}

#[test]
fn a_document_has_the_fields_to_find_it_by() {
    let stored = row(ServiceRef::Upstream("shop-web-80".to_owned()), 0, &[70_000]);
    let document =
        CountDocument::Row(stored.into()).write(&Environment::new("staging").unwrap(), Timestamp::UNIX_EPOCH);
    assert_eq!(
        serde_json::from_str::<Value>(&document.source).unwrap(),
        json!({
            "id": document.id, "@timestamp": "2026-11-23T10:00:00Z", "environment": "staging", "kind": "row",
            "stream": "pod/app", "service": "shop-web-80", "service_ref": {"upstream": "shop-web-80"},
            "origin": "ingress", "sli": "latency", "version": 1, "minute": 29_923_800,
            "range_start": 0, "range_end": 100, "total": 1, "bad": 0, "excluded": 2,
            "edges_us": [500_000], "ladder": [1, 0], "sketch": {"386": 1}, "partial": false,
        })
    );
}

#[test]
fn a_row_that_grew_is_the_same_document_and_another_row_never_is() {
    let write = |stored: StoredRow, environment: &str| {
        CountDocument::Row(stored.into())
            .write(&Environment::new(environment).unwrap(), Timestamp::UNIX_EPOCH)
            .id
    };
    let web = || ServiceRef::Upstream("web".to_owned());
    let first = write(row(web(), 0, &[]), "production");
    let mut grown = row(web(), 0, &[1, 2]);
    grown.row.range.end = 500;
    assert_eq!(write(grown, "production"), first);
    assert_ne!(write(row(web(), 1, &[]), "production"), first);
    assert_ne!(write(row(web(), 0, &[]), "staging"), first);
    let named = ServiceRef::Named { namespace: "shop".to_owned(), name: "web".to_owned() };
    let raw = ServiceRef::Upstream("shop/web".to_owned());
    assert_ne!(write(row(named, 0, &[]), "production"), write(row(raw, 0, &[]), "production"));
}

#[test]
fn what_goes_on_being_true_is_another_document_on_another_day() {
    let collector = StoredCollector {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        watermark_ms: None,
        archived_to_ms: None,
        node: None,
        gone: None,
    };
    let write = |at: &str| {
        CountDocument::Collector(collector.clone()).write(&Environment::default(), at.parse().unwrap())
    };
    let (morning, night) = (write("2026-11-23T00:00:00Z"), write("2026-11-23T23:59:59.999Z"));
    assert_eq!(morning.id, night.id);
    assert_ne!(night.id, write("2026-11-24T00:00:00Z").id);
}

#[test]
fn what_is_no_document_is_told() {
    let told = |source: Value| CountDocument::read(source).unwrap_err().to_string();
    assert_eq!(told(json!({})), "`kind` is null, not row, tally, stream or collector");
    assert_eq!(told(json!({"kind": "collector"})), "missing field `collector`");
}
