//! Bytes of an hour's cells: a head, the names, then one column after the other for all series; numbers are LEB128.
//!
//! ```text
//! head      magic, version, hour (signed)
//! streams   how many, then their names, each by what it shares with the one before
//! keys      how many, then for each: kind of service, origin and SLI in one byte, its names, version, edges
//! minutes   for each series a bitmap of the minutes that hold nothing
//! cells     totals, bads, excluded; then the first bucket of every ladder, the second …
//! partial   for each series a bitmap of its partial minutes
//! sketches  for each series how many buckets, then the steps from one to the next, then their counts
//! streams   for each series how many, then the steps in the table of names, then totals, then newest minutes (signed,
//!           counted from the hour's first one)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, CellHour, CellKey, HOUR, HourBlock, buckets};
use crate::counts::{Origin, ServiceRef, Sli};
use crate::leb128::{put, put_name, put_signed};

pub(super) const MAGIC: &[u8; 7] = b"HRCELLS";
pub(super) const VERSION: u8 = 1;

/// One bit for each minute of an hour.
pub(super) const ALL: u64 = (1 << HOUR) - 1;

pub(super) fn encode(block: &HourBlock) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    put_signed(&mut out, block.hour);
    let names: BTreeSet<&str> =
        block.series.values().flat_map(|hour| hour.streams.keys().map(String::as_str)).collect();
    put_names(&mut out, &names);
    put_keys(&mut out, block);
    put_cells(&mut out, block);
    put_sketches(&mut out, block);
    put_streams(&mut out, block, &names);
    out
}

fn put_names(out: &mut Vec<u8>, names: &BTreeSet<&str>) {
    put(out, names.len() as u64);
    let mut before = "";
    for &name in names {
        put_name(out, before, name);
        before = name;
    }
}

fn put_keys(out: &mut Vec<u8>, block: &HourBlock) {
    put(out, block.series.len() as u64);
    let mut before = ["", ""];
    for key in block.series.keys() {
        out.push(flags(key));
        for (held, name) in before.iter_mut().zip(names(&key.service)) {
            put_name(out, held, name);
            *held = name;
        }
        put(out, key.version.into());
        put(out, key.edges_us.len() as u64);
        key.edges_us.iter().for_each(|&edge| put(out, edge));
    }
}

fn flags(key: &CellKey) -> u8 {
    let service = match key.service {
        ServiceRef::Named { .. } => 0,
        ServiceRef::Upstream(_) => 1,
        ServiceRef::Unattributed => 2,
    };
    let origin = match key.origin {
        Origin::Ingress => 0,
        Origin::Application => 1,
    };
    let sli = match key.sli {
        Sli::Availability => 0,
        Sli::Latency => 1,
    };
    service | origin << 2 | sli << 3
}

/// As many names as the kind of service has.
fn names(service: &ServiceRef) -> Vec<&str> {
    match service {
        ServiceRef::Named { namespace, name } => vec![namespace, name],
        ServiceRef::Upstream(raw) => vec![raw],
        ServiceRef::Unattributed => vec![],
    }
}

fn put_cells(out: &mut Vec<u8>, block: &HourBlock) {
    let bitmap = |hour: &CellHour, of: fn(&Cell) -> bool| {
        let wanted = hour.within(block.hour).filter(|(_, cell)| of(cell));
        wanted.fold(0_u64, |bits, (at, _)| bits | 1 << at)
    };
    block.series.values().for_each(|hour| put(out, ALL & !bitmap(hour, |_| true)));
    let columns: [fn(&Cell) -> u64; 3] = [|c| c.counts.total, |c| c.counts.bad, |c| c.counts.excluded];
    for column in columns {
        let cells = block.series.values().flat_map(|hour| hour.within(block.hour));
        cells.for_each(|(_, cell)| put(out, column(cell)));
    }
    let most = block.series.keys().map(|key| buckets(&key.edges_us)).max().unwrap_or(0);
    for bucket in 0..most {
        let series = block.series.iter().filter(|(key, _)| bucket < buckets(&key.edges_us));
        let cells = series.flat_map(|(_, hour)| hour.within(block.hour));
        cells.for_each(|(_, cell)| put(out, cell.ladder.get(bucket).copied().unwrap_or(0)));
    }
    block.series.values().for_each(|hour| put(out, bitmap(hour, |cell| cell.partial)));
}

fn put_sketches(out: &mut Vec<u8>, block: &HourBlock) {
    let sketches = || block.series.values().map(|hour| &hour.sketch);
    sketches().for_each(|sketch| put(out, sketch.entries().len() as u64));
    for sketch in sketches() {
        put_steps(out, sketch.entries().map(|(bucket, _)| u64::from(bucket)));
    }
    sketches().flat_map(|sketch| sketch.entries()).for_each(|(_, count)| put(out, count));
}

fn put_streams(out: &mut Vec<u8>, block: &HourBlock, names: &BTreeSet<&str>) {
    let places: BTreeMap<&str, u64> = names.iter().copied().zip(0..).collect();
    let hours = || block.series.values();
    let shares = || hours().flat_map(|hour| hour.streams.values());
    hours().for_each(|hour| put(out, hour.streams.len() as u64));
    for hour in hours() {
        put_steps(out, hour.streams.keys().map(|name| places[name.as_str()]));
    }
    shares().for_each(|share| put(out, share.total));
    let start = block.hour.wrapping_mul(HOUR);
    shares().for_each(|share| put_signed(out, share.newest.0.wrapping_sub(start)));
}

/// Numbers that ascend strictly, each by what lies between it and the one before.
fn put_steps(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut next = 0;
    for number in numbers {
        put(out, number - next);
        next = number + 1;
    }
}
