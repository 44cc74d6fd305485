//! An hour's cells: they come back as they were, take little room, and are refused where they are broken.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use slo::cells::{Cell, CellHour, CellKey, CellsError, HourBlock, StreamShare};
use slo::counts::{Counts, DEFAULT_EDGES_US, MinuteId, Origin, ServiceRef, Sli};
use slo::sketch::Sketch;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..300, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn service() -> impl Strategy<Value = ServiceRef> {
    let name = || prop_oneof!["[a-c]{0,3}", "shop-[a-z]{1,9}", "ü{1,3}"];
    prop_oneof![
        4 => (name(), name()).prop_map(|(namespace, name)| ServiceRef::Named { namespace, name }),
        1 => name().prop_map(ServiceRef::Upstream),
        1 => Just(ServiceRef::Unattributed),
    ]
}

fn key() -> impl Strategy<Value = CellKey> {
    let origin = prop_oneof![Just(Origin::Ingress), Just(Origin::Application)];
    let sli = prop_oneof![Just(Sli::Availability), Just(Sli::Latency)];
    let edges = prop::collection::vec(number(), 0..4);
    (service(), origin, sli, any::<u32>(), edges).prop_map(|(service, origin, sli, version, edges_us)| {
        CellKey { service, origin, sli, version, edges_us }
    })
}

fn sketch() -> impl Strategy<Value = Sketch> {
    prop::collection::vec(any::<u64>(), 0..8).prop_map(|durations| {
        let mut sketch = Sketch::default();
        durations.iter().for_each(|&us| sketch.record(us));
        sketch
    })
}

fn cell_hour(hour: i64, buckets: usize) -> impl Strategy<Value = CellHour> {
    let ladder = prop::collection::vec(number(), buckets);
    let cell = (number(), number(), number(), ladder, any::<bool>()).prop_map(
        |(total, bad, excluded, ladder, partial)| Cell {
            counts: Counts { total, bad, excluded },
            ladder,
            partial,
        },
    );
    let minutes = prop::collection::btree_map((hour * 60..hour * 60 + 60).prop_map(MinuteId), cell, 0..8);
    let newest = prop_oneof![5 => hour * 60..hour * 60 + 60, 1 => any::<i64>()].prop_map(MinuteId);
    let share = (number(), newest).prop_map(|(total, newest)| StreamShare { total, newest });
    let streams = prop::collection::btree_map("pod-[a-d]{0,2}", share, 0..4);
    (minutes, sketch(), streams).prop_map(|(minutes, sketch, streams)| CellHour { minutes, sketch, streams })
}

fn block(hour: i64) -> impl Strategy<Value = HourBlock> {
    let series = key().prop_flat_map(move |key| {
        let buckets = if key.edges_us.is_empty() { 0 } else { key.edges_us.len() + 1 };
        (Just(key), cell_hour(hour, buckets))
    });
    prop::collection::vec(series, 0..6)
        .prop_map(move |series| HourBlock { hour, series: series.into_iter().collect() })
}

fn any_block() -> impl Strategy<Value = HourBlock> {
    prop_oneof![Just(0), Just(-1), Just(490_000), Just(i64::MIN / 60), Just(i64::MAX / 60 - 1)]
        .prop_flat_map(block)
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(block in any_block()) {
        prop_assert_eq!(HourBlock::decode(&block.encode()).unwrap(), block);
    }

    #[test]
    fn broken_bytes_are_refused_or_mean_something_else(block in any_block(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), shorten in any::<bool>()) {
        let mut bytes = block.encode();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        match HourBlock::decode(&bytes) {
            Ok(other) => prop_assert_eq!(HourBlock::decode(&other.encode()).unwrap(), other),
            Err(CellsError { at, .. }) => prop_assert!(at <= bytes.len()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff), any::<u8>()], 0..200)) {
        let _ = HourBlock::decode(&[b"HRCELLS\x01".as_slice(), &bytes].concat());
    }

    #[test]
    fn blocks_add_up_in_any_order(a in block(7), b in block(7), c in block(7)) {
        let sum = |blocks: [&HourBlock; 3]| {
            let mut sum = HourBlock::new(7);
            blocks.into_iter().for_each(|block| sum.add(block.clone()));
            sum
        };
        prop_assert_eq!(sum([&a, &b, &c]), sum([&c, &b, &a]));
        let total = |block: &HourBlock| {
            let cells = block.series.values().flat_map(|hour| hour.minutes.values());
            cells.fold(0_u64, |sum, cell| sum.saturating_add(cell.counts.total))
        };
        prop_assert_eq!(total(&sum([&a, &b, &c])), total(&a).saturating_add(total(&b)).saturating_add(total(&c)));
    }
}

fn one(key: CellKey, hour: CellHour) -> HourBlock {
    HourBlock { hour: 0, series: BTreeMap::from([(key, hour)]) }
}

fn latency_key() -> CellKey {
    let (service, edges_us) = (ServiceRef::Unattributed, DEFAULT_EDGES_US.to_vec());
    CellKey { service, origin: Origin::Ingress, sli: Sli::Latency, version: 1, edges_us }
}

#[test]
fn a_cell_adds_up_with_another() {
    let cell = |total, ladder: &[u64], partial| Cell {
        counts: Counts { total, bad: 1, excluded: 2 },
        ladder: ladder.to_vec(),
        partial,
    };
    let share = |total, newest| StreamShare { total, newest: MinuteId(newest) };
    let hour = |cell, share| CellHour {
        minutes: BTreeMap::from([(MinuteId(3), cell)]),
        sketch: Sketch::default(),
        streams: BTreeMap::from([("a".to_owned(), share)]),
    };
    let mut block = one(latency_key(), hour(cell(5, &[3, 2], false), share(5, -9)));
    block.add(one(latency_key(), hour(cell(u64::MAX, &[1, 1], true), share(7, -12))));
    let sum = &block.series[&latency_key()];
    let counts = Counts { total: u64::MAX, bad: 2, excluded: 4 };
    assert_eq!(sum.minutes[&MinuteId(3)], Cell { counts, ladder: vec![4, 3], partial: true });
    assert_eq!(sum.streams["a"], share(12, -9));
}

#[test]
fn a_ladder_gets_the_buckets_that_its_edges_make() {
    let minutes = BTreeMap::from([(MinuteId(59), Cell::default()), (MinuteId(60), Cell::default())]);
    let block = one(latency_key(), CellHour { minutes, ..CellHour::default() });
    let read = HourBlock::decode(&block.encode()).unwrap();
    let minutes = &read.series[&latency_key()].minutes;
    assert_eq!(minutes.keys().collect::<Vec<_>>(), [&MinuteId(59)]);
    assert_eq!(minutes[&MinuteId(59)].ladder, [0; 10]);
}

#[track_caller]
fn refused(bytes: &[u8], want: &str) {
    let because = "; the bytes were damaged or written by another version";
    let error = HourBlock::decode(bytes).unwrap_err().to_string();
    assert_eq!(error, format!("an hour's cells cannot be decoded at byte {want}{because}"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let bytes = one(latency_key(), CellHour::default()).encode();
    refused(b"HRCELLS\x02\0\0\0", "0: it does not begin like cells of this version");
    refused(&bytes[..bytes.len() - 1], "55: it ends too early");
    refused(&[&bytes[..], b"x"].concat(), "56: bytes follow its end");
    // Two streams, the second one before the first.
    refused(b"HRCELLS\x01\0\x02\0\x01b\0\x01a", "16: the streams are out of order");
}

#[test]
fn a_few_bytes_do_not_ask_for_much_memory() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    // That many streams, keys, and edges of a key.
    refused(&[b"HRCELLS\x01\0".as_slice(), &huge].concat(), "19: it ends too early");
    refused(&[b"HRCELLS\x01\0\0".as_slice(), &huge].concat(), "20: it ends too early");
    refused(&[b"HRCELLS\x01\0\0\x01\x02\x01".as_slice(), &huge].concat(), "23: it ends too early");
    // Sixty minutes of three columns, of which no byte is there.
    refused(b"HRCELLS\x01\0\0\x01\x02\x01\0\0", "15: it ends before its cells do");
    // One long name, of which each next one differs in two bytes.
    let long = [b"HRCELLS\x01\0\xff\xff\x7f\0\x80\x80\x01".as_slice(), &[b'a'; 1 << 14]].concat();
    let next = (0..16_000_u32).flat_map(|name| [0x80, 0x80, 1, 2, (name / 128) as u8, (name % 128) as u8]);
    let error = HourBlock::decode(&[long, next.collect()].concat()).unwrap_err();
    assert_eq!(error.what, "its names take too much room");
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Some tens of milliseconds, now and then seconds.
    fn duration_us(&mut self, usual: u64) -> u64 {
        let (a, b) = (self.below(1000) + 1, self.below(1000) + 1);
        usual * 400 / a.min(b)
    }
}

/// An hour of a service, availability and latency, as its requests make it.
fn busy_service(number: u64, dice: &mut Dice) -> [(CellKey, CellHour); 2] {
    let service =
        ServiceRef::Named { namespace: format!("team-{}", number / 10), name: format!("service-{number}") };
    let usual = 20_000 + dice.below(60_000);
    let mut hours = [CellHour::default(), CellHour::default()];
    for minute in 0..60 {
        let mut cells = [Cell::default(), Cell { ladder: vec![0; 10], ..Cell::default() }];
        for _ in 0..20 + dice.below(41) {
            let us = dice.duration_us(usual);
            let failed = u64::from(dice.below(500) == 0);
            cells[0].counts += Counts { total: 1, bad: failed, excluded: 0 };
            cells[1].counts += Counts { total: 1 - failed, bad: u64::from(us >= 500_000), excluded: failed };
            cells[1].ladder[DEFAULT_EDGES_US.partition_point(|&edge| edge <= us)] += 1 - failed;
            hours[1].sketch.record(us);
        }
        for (hour, cell) in hours.iter_mut().zip(cells) {
            hour.minutes.insert(MinuteId(600 + minute), cell);
        }
    }
    for hour in &mut hours {
        for pod in 0..3 {
            let pod_name = format!("service-{number}-5d8f7c9b{pod:02}-x{}kq{pod}", number * 7919);
            let newest = MinuteId(655 + dice.below(5) as i64);
            let share = StreamShare { total: 700 + dice.below(200), newest };
            hour.streams.insert(format!("team-{}_{pod_name}_app/0.log", number / 10), share);
        }
    }
    let edges = [vec![], DEFAULT_EDGES_US.to_vec()];
    let keys = Sli::ALL.map(|sli| CellKey {
        service: service.clone(),
        origin: Origin::Application,
        sli,
        version: 1,
        edges_us: edges[usize::from(sli == Sli::Latency)].clone(),
    });
    let [first, second] = keys;
    let [availability, latency] = hours;
    [(first, availability), (second, latency)]
}

#[test]
fn a_busy_hour_takes_a_few_bytes_a_minute() {
    let mut dice = Dice(1);
    let services = 200;
    let series = (0..services).flat_map(|number| busy_service(number, &mut dice)).collect();
    let block = HourBlock { hour: 10, series };
    let bytes = block.encode();
    assert_eq!(HourBlock::decode(&bytes).unwrap(), block);
    let compressed = zstd::bulk::compress(&bytes, 3).unwrap();
    let minutes = services as usize * 60;
    assert!(
        compressed.len() < 16 * minutes,
        "{} of {} bytes",
        compressed.len() / minutes,
        bytes.len() / minutes
    );
}
