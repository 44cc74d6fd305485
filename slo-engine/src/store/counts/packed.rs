//! Packed count rows: those of one minute of one stream as bytes, and back.

use std::collections::BTreeMap;

use slo::counts::{ByteRange, CountRow, Counts, MinuteId, Origin, RowKey, ServiceRef, Sli};
use slo::leb128::{Broken, Input, put, put_bytes};
use slo::sketch::Sketch;

use super::super::bytes::{compress, decompress};
use super::super::{StoreError, reading};
use super::StoredRow;

/// Level of compression: rows are written again and again while their minute fills.
const ZSTD_LEVEL: i32 = 1;

/// What a row says of whom and what, written once for all rows that share it.
type Head = (String, Origin, Sli, u32, Vec<u64>);

/// Packs the rows of one minute of one stream.
pub(super) fn pack(rows: &[StoredRow]) -> Result<Vec<u8>, StoreError> {
    let mut heads: BTreeMap<Head, u64> = BTreeMap::new();
    let heads_of: Vec<Head> = rows.iter().map(head).collect::<Result<_, _>>()?;
    for head in &heads_of {
        let next = heads.len() as u64;
        heads.entry(head.clone()).or_insert(next);
    }
    let mut by_index: Vec<(&Head, u64)> = heads.iter().map(|(head, index)| (head, *index)).collect();
    by_index.sort_by_key(|(_, index)| *index);
    let mut out = Vec::new();
    put(&mut out, by_index.len() as u64);
    for ((service, origin, sli, version, edges_us), _) in by_index {
        put_bytes(&mut out, service.as_bytes());
        out.extend([origin_byte(*origin), sli_byte(*sli)]);
        put(&mut out, (*version).into());
        put_all(&mut out, edges_us);
    }
    put(&mut out, rows.len() as u64);
    for (stored, head) in rows.iter().zip(&heads_of) {
        put_row(&mut out, stored, heads[head]);
    }
    compress(&out, ZSTD_LEVEL)
}

/// Unpacks the rows of one minute of one stream.
pub(super) fn unpack(stream: &str, minute: MinuteId, body: &[u8]) -> Result<Vec<StoredRow>, StoreError> {
    rows(stream, minute, &decompress(body)?).map_err(reading("count rows"))
}

fn head(stored: &StoredRow) -> Result<Head, StoreError> {
    let RowKey { service, origin, sli, version, .. } = &stored.row.key;
    let service = serde_json::to_string(service).map_err(reading("count row"))?;
    Ok((service, *origin, *sli, *version, stored.edges_us.clone()))
}

fn put_row(out: &mut Vec<u8>, stored: &StoredRow, head: u64) {
    let CountRow { range, counts, ladder, sketch, .. } = &stored.row;
    put(out, head << 1 | u64::from(stored.partial));
    put(out, range.start);
    put(out, range.len());
    [counts.total, counts.bad, counts.excluded].iter().for_each(|&count| put(out, count));
    put_all(out, ladder);
    put(out, sketch.entries().count() as u64);
    let mut before = 0;
    for (bucket, count) in sketch.entries() {
        put(out, u64::from(bucket - before));
        put(out, count);
        before = bucket;
    }
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    put(out, numbers.len() as u64);
    numbers.iter().for_each(|&number| put(out, number));
}

fn rows(stream: &str, minute: MinuteId, bytes: &[u8]) -> Result<Vec<StoredRow>, Broken> {
    let mut input = Input::new(bytes);
    let mut heads: Vec<(ServiceRef, Origin, Sli, u32, Vec<u64>)> = Vec::new();
    for _ in 0..input.count()? {
        let service = serde_json::from_slice(input.bytes()?).map_err(|_| input.broken("not a service"))?;
        let origin = [Origin::Ingress, Origin::Application].into_iter().nth(usize::from(input.byte()?));
        let origin = origin.ok_or_else(|| input.broken("an unknown kind of log"))?;
        let sli = Sli::ALL.into_iter().nth(usize::from(input.byte()?));
        let sli = sli.ok_or_else(|| input.broken("an unknown SLI"))?;
        let version = u32::try_from(input.number()?).map_err(|_| input.broken("a version beyond 32 bits"))?;
        heads.push((service, origin, sli, version, all(&mut input)?));
    }
    let count = input.count()?;
    (0..count)
        .map(|_| {
            let mark = input.number()?;
            let head = heads.get((mark >> 1) as usize).ok_or_else(|| input.broken("a row without a head"))?;
            let (service, origin, sli, version, edges_us) = head.clone();
            let key = RowKey { stream: stream.to_owned(), service, origin, sli, version, minute };
            Ok(StoredRow { row: row(&mut input, key)?, edges_us, partial: mark & 1 == 1 })
        })
        .collect()
}

fn row(input: &mut Input<'_>, key: RowKey) -> Result<CountRow, Broken> {
    let start = input.number()?;
    let end =
        start.checked_add(input.number()?).ok_or_else(|| input.broken("a byte range beyond 64 bits"))?;
    let counts = Counts { total: input.number()?, bad: input.number()?, excluded: input.number()? };
    let ladder = all(input)?;
    let (mut buckets, mut bucket) = (Vec::new(), 0_u64);
    for _ in 0..input.count()? {
        bucket = bucket.saturating_add(input.number()?);
        let bucket = u16::try_from(bucket).map_err(|_| input.broken("a bucket beyond a sketch"))?;
        buckets.push((bucket, input.number()?));
    }
    let range = ByteRange { start, end };
    Ok(CountRow { key, range, counts, ladder, sketch: Sketch::from_entries(buckets) })
}

fn all(input: &mut Input<'_>) -> Result<Vec<u64>, Broken> {
    (0..input.count()?).map(|_| input.number()).collect()
}

fn origin_byte(origin: Origin) -> u8 {
    match origin {
        Origin::Ingress => 0,
        Origin::Application => 1,
    }
}

fn sli_byte(sli: Sli) -> u8 {
    match sli {
        Sli::Availability => 0,
        Sli::Latency => 1,
    }
}
